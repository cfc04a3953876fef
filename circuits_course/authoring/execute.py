"""Runs a solved notebook and keeps of its outputs what is the same on every machine."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits_course.authoring.metadata import METADATA
from circuits_course.errors import CourseError
from circuits_course.page.saved_form import WIDGET, without_widget

if TYPE_CHECKING:
    from nbformat import NotebookNode

MODEL = "auto"  # SmolLM2, which everybody can load, whatever the author has chosen
CELL_SECONDS = 600
ANSI = re.compile(r"\x1b\[[0-9;]*m")
# The measured time of this machine and where an object happened to lie say nothing to a reader.
VARYING = (
    (re.compile(r"\b\d+(?:\.\d+)?(?= ?(?:µs|ms|s|seconds?)\b)"), "…"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "0x…"),
)


def execute_notebook(notebook: NotebookNode, name: str) -> None:
    """Runs every cell in strict mode, in a scratch folder, and stores the cleaned outputs in place.

    Raises CourseError that names the cell and the exception; `name` is what it calls the notebook.
    """
    with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
        folder = Path(scratch).resolve()
        _run(notebook, folder, name)
        _clean(notebook, folder)


def _run(notebook: NotebookNode, folder: Path, name: str) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
    )
    try:
        client.execute(env=_environment(folder))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CourseError(f"{name} was not written: {_what_failed(notebook, error)}") from error


def _environment(folder: Path) -> dict[str, str]:
    """The kernel's environment: strict, quiet, and apart from the author's own progress."""
    return {
        **os.environ,
        "CIRCUITS_COURSE_HOME": str(folder / "home"),
        "CIRCUITS_COURSE_MODEL": MODEL,
        "CIRCUITS_COURSE_STRICT": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",  # sums come out the same however many cores there are
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",
    }


def _what_failed(notebook: NotebookNode, error: Exception) -> str:
    for number, cell in enumerate(notebook.cells, start=1):
        for out in cell.get("outputs", ()):
            if out.output_type == "error":
                reason = ANSI.sub("", f"{out.ename}: {out.evalue}")
                return f"cell {number} ({cell.id}) raised {reason}"
    return ANSI.sub("", str(error)).strip()


def _clean(notebook: NotebookNode, folder: Path) -> None:
    notebook.metadata = type(notebook.metadata)(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None  # a new cell would shift the count of every later one
            cell.metadata.pop("execution", None)
            cell.outputs = _clean_outputs(cell.outputs, _places(folder))


def _places(folder: Path) -> dict[str, str]:
    """Paths of this machine and what stands for them, the longest first."""
    course = Path(__file__).resolve().parents[2]
    places = {
        str(folder): "<folder>",
        str(course): "<course>",
        sys.prefix: "<python>",
        tempfile.gettempdir(): "<temporary>",
        str(Path.home()): "<home>",
    }
    return dict(sorted(places.items(), key=lambda item: -len(item[0])))


def _clean_outputs(outputs: Iterable[NotebookNode], places: dict[str, str]) -> list[NotebookNode]:
    kept = [out for out in outputs if out.get("name") != "stderr"]
    for out in kept:
        if "text" in out:
            out.text = _clean_text(out.text, places)
        if "data" in out:
            _clean_data(out.data, places)
        if out.output_type == "execute_result":
            out.execution_count = None
    return _joined([out for out in kept if out.get("data", True) not in ({}, {"text/plain": ""})])


def _clean_data(data: dict[str, Any], places: dict[str, str]) -> None:
    """Drops the live forms of an output: nothing answers them in a saved notebook."""
    data.pop(WIDGET, None)
    if "image/png" in data:
        data.pop("text/html", None)
    if isinstance(page := data.get("text/html"), str):
        data["text/html"] = without_widget(page)
    for mime, value in data.items():
        if mime.startswith("text/") and isinstance(value, str):
            data[mime] = _clean_text(value, places)


def _clean_text(text: str, places: dict[str, str]) -> str:
    for place, stand_in in places.items():
        text = text.replace(place, stand_in)
    for pattern, stand_in in VARYING:
        text = pattern.sub(stand_in, text)
    return text


def _joined(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream as one: where a kernel cuts them is chance."""
    joined: list[NotebookNode] = []
    for out in outputs:
        if joined and out.output_type == joined[-1].output_type == "stream":
            joined[-1].text += out.text
        else:
            joined.append(out)
    return joined
