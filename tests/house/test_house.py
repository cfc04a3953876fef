"""The house: rooms by their names, files of one concept, chapters that read without plumbing."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import jupytext
import pytest

from circuits_course import plots
from circuits_course.authoring import build

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "circuits_course"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
CHAPTERS = build.chapters_with_source()

MAX_MODULE_LINES = 400
MAX_ENTRIES = 15
MAX_SETUP_LINES = 12
MAX_CELL_LINES = 15
# Words in a path that stand for others: NN, NAME, cNN_topic, ...
PLACEHOLDER = re.compile(r"NN|NAME|MODEL|OWNER|TAG|FOLDER|[*<>{}…]|\.\.\.")


def test_no_module_is_longer_than_a_person_reads_at_once():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > MAX_MODULE_LINES}
    assert long == {}


def test_the_package_has_few_rooms():
    entries = [p for p in PACKAGE.iterdir() if p.name != "__pycache__" and p.suffix != ".pyi"]
    assert len(entries) <= MAX_ENTRIES, sorted(p.name for p in entries)


def code_cells(chapter: str) -> list[str]:
    """The code of a chapter that its learners did not write, cell by cell."""
    text = build.source_path(chapter).read_text(encoding="utf-8")
    cells = jupytext.reads(text, fmt="py:percent").cells
    return [c.source for c in cells if c.cell_type == "code" and "exercise" not in c.metadata]


def lines_of(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_set_up_cell_is_short(chapter: str) -> None:
    assert lines_of(code_cells(chapter)[0]) <= MAX_SETUP_LINES


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_longer_than_a_demonstration_is_a_tool_and_stands_in_a_room(chapter: str) -> None:
    long = [source for source in code_cells(chapter)[1:] if lines_of(source) > MAX_CELL_LINES]
    assert [f"{lines_of(source)} lines: {source.splitlines()[0]}" for source in long] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_prose_has_slipped_into_a_cell_of_code(chapter: str) -> None:
    last_lines = [source.rstrip().splitlines()[-1] for source in code_cells(chapter)]
    assert [line for line in last_lines if line.lstrip().startswith("#")] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chart_of_a_chapter_is_asked_for_as_the_plots_take_it(chapter: str) -> None:
    calls = [
        node
        for source in code_cells(chapter)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.startswith("plot_")
    ]
    for call in calls:
        given = {keyword.arg: None for keyword in call.keywords if keyword.arg}
        unpacked = len(given) < len(call.keywords)
        signature = inspect.signature(getattr(plots, call.func.id))
        (signature.bind_partial if unpacked else signature.bind)(*call.args, **given)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_picture_of_a_chapter_is_shown(chapter: str) -> None:
    """A notebook shows the last expression of a cell: a picture before it is drawn for nobody."""
    unseen = [
        ast.unparse(node)[:80]
        for tree in map(ast.parse, code_cells(chapter))
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and is_picture(node.value) and node is not tree.body[-1]
    ]
    assert unseen == []


def is_picture(value: ast.expr) -> bool:
    name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
    return name in dir(plots)


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [build.source_path(chapter) for chapter in CHAPTERS]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(path: Path) -> None:
    named = re.findall(r"`([\w./*<>{}…-]+/[\w./*<>{}…-]*)`", path.read_text(encoding="utf-8"))
    tops = {p.name for p in ROOT.iterdir()} | {p.name for p in PACKAGE.iterdir()}
    ours = [n for n in named if n.split("/")[0] in tops and not PLACEHOLDER.search(n)]
    missing = [n for n in ours if not (ROOT / n).exists() and not (PACKAGE / n).exists()]
    assert missing == []


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: path.name)
def test_every_name_of_the_package_that_is_mentioned_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    dotted = set(re.findall(r"\bcircuits_course(?:\.\w+)+", text))
    imported = {
        f"{module}.{name}"
        for module, names in re.findall(
            r"from (circuits_course[\w.]*) import (\([^)]*\)|[^\n]+)", text
        )
        for name in re.findall(r"(\w+)(?: as \w+)?(?:,|$|\n|\))", names.strip("()").strip())
    }
    missing = [name for name in sorted(dotted | imported) if not exists(name)]
    assert missing == []


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module or an attribute of one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_tool_that_the_text_points_to_is_at_hand(path: Path) -> None:
    """Where the text says "`name??` shows how", some cell has imported the name."""
    text = path.read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith(("#", "%", "!")))
    known = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    pointed = set(re.findall(r"`(\w+)\?\?`", text))
    assert pointed - known == set()


@pytest.mark.parametrize(
    "room", [p.parent for p in sorted(PACKAGE.rglob("__init__.pyi"))], ids=lambda p: p.name
)
def test_a_room_offers_what_it_says(room: Path) -> None:
    name = ".".join(room.relative_to(ROOT).parts)
    module = import_module(name)
    assert [offer for offer in module.__all__ if not hasattr(module, offer)] == []


def test_uv_installs_the_versions_that_the_course_was_tested_with() -> None:
    """uv does not read constraints.txt, so pyproject.toml repeats what the figures depend on."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^constraint-dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    pins = re.findall(r'"(.+)"', block[1]) if block else []
    assert {re.split(r"=|<", pin)[0] for pin in pins} >= {"torch", "transformer-lens", "numpy"}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [pin for pin in pins if pin not in pinned] == []
