"""The notebooks and pages as they are committed: built from their sources, clean, and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from circuits_course.authoring import build
from circuits_course.checks.chapters import CHAPTERS

ROOT = Path(__file__).resolve().parents[2]
READY = build.chapters_with_source()
NOTEBOOKS = [
    pytest.param(build.notebook_path(name, kind), id=f"{kind}/{name}")
    for name in READY
    for kind in ("notebooks", "solutions")
]
MACHINE_PATH = re.compile(r"(?<![\w.<>/])/(?:home|root|Users|tmp|opt|var|private)/\w+")
# Split, so that this file does not name what it forbids.
FORBIDDEN = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "deb.debian" + ".org",
    "cdn.plot" + ".ly",
    "unpkg" + ".com",
    "jsdelivr" + ".net",
    sys.prefix + "/",
    str(ROOT) + "/",
]


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("chapter", READY)
def test_no_drift(chapter: str) -> None:
    assert build.drift([chapter]) == []


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebook_is_small_and_says_nothing_of_the_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    assert MACHINE_PATH.findall(text) == []
    assert "widget-view" not in text
    nbformat.validate(read(path))


@pytest.mark.parametrize("chapter", READY)
def test_solved_notebook_ran_without_error(chapter: str) -> None:
    for cell in code_cells(read(build.notebook_path(chapter, "solutions"))):
        kinds = {out.get("name", out.output_type) for out in cell.outputs}
        assert not kinds & {"error", "stderr"}, cell.id


@pytest.mark.parametrize("chapter", READY)
def test_compared_outputs_are_there(chapter: str) -> None:
    """Without a stored output there is nothing to compare, and every run passes."""
    cells = code_cells(read(build.notebook_path(chapter, "solutions")))
    compared = [cell for cell in cells if build.COMPARED in cell.metadata.get("tags", ())]
    assert compared, f"{chapter} compares no output: tag cells {build.COMPARED}"
    for cell in compared:
        assert cell.outputs, cell.id


@pytest.mark.parametrize("chapter", READY)
def test_every_picture_has_a_stand_in_and_its_numbers(chapter: str) -> None:
    for cell in code_cells(read(build.notebook_path(chapter, "solutions"))):
        for out in cell.outputs:
            data = out.get("data", {})
            if "application/vnd.plotly.v1+json" in data:
                assert data.keys() & {"image/png", "image/svg+xml"}, cell.id
            if data.keys() & {"image/png", "image/svg+xml"}:
                assert len(data.get("text/plain", "")) > 20, cell.id


@pytest.mark.parametrize("chapter", READY)
def test_a_chapter_is_one_sitting(chapter: str) -> None:
    cells = read(build.notebook_path(chapter, "notebooks")).cells
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    assert words < 6000


def test_readme_table_says_what_is_ready() -> None:
    rows = re.findall(r"^\| \[?(\d\d) .*\| ([^|]+) \|$", readme(), flags=re.MULTILINE)
    kinds = ("notebooks", "solutions")
    built = [c for c in CHAPTERS if all(build.notebook_path(c, kind).is_file() for kind in kinds)]
    assert rows == [(c[:2], "ready" if c in built else "in preparation") for c in CHAPTERS]


def test_readme_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", readme())
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_file_names_a_registry_or_this_machine() -> None:
    found = []
    for path in committed_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        words = [word for word in FORBIDDEN if word in text] + MACHINE_PATH.findall(text)
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words]
    assert found == []


def committed_files() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in files if path.is_file()]
