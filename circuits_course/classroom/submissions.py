"""What learners hand in: notebooks and progress files, found and read without running anything.

Of a notebook, only what answers are made of is kept: imports, functions, classes, plain values and
the calls of `chapter.check`. Its demonstrations, which load models and draw, are left out.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits_course.checks.chapters import CHAPTERS, chapter_name
from circuits_course.errors import CourseError

LARGEST = 20_000_000  # bytes of a file that is read at all
SUFFIXES = (".ipynb", ".sqlite")
_CHAPTER_CALL = re.compile(r"Chapter\(\s*[\"']([^\"']+)[\"']")
_MAGIC = re.compile(r"^\s*[%!?].*$|^.*\?\s*$", re.MULTILINE)
_DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


@dataclass(frozen=True)
class Submission:
    """One file. learner: who handed it in, by the file's place and name."""

    path: Path
    learner: str


@dataclass(frozen=True)
class CellStep:
    """What is kept of one cell: source that defines things, or a syntax error's text in `broken`.

    exercises: those that the cell checks.
    """

    cell: int
    source: str
    exercises: tuple[str, ...] = ()
    broken: str = ""


def find_submissions(folder: Path) -> list[Submission]:
    """The notebooks and progress files in a folder and its subfolders, sorted.

    The learner is the first subfolder, or the file's name without the chapter's. Raises CourseError
    where there is no folder or nothing in it.
    """
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and path.is_file() and ".ipynb_checkpoints" not in path.parts
    )
    if not found:
        raise CourseError(f"{folder} holds no notebooks (.ipynb) and no progress files (.sqlite).")
    return [Submission(path, _learner(path.relative_to(folder))) for path in found]


def _learner(place: Path) -> str:
    if len(place.parts) > 1:
        return place.parts[0]
    name = place.stem
    for chapter in CHAPTERS:
        name = name.replace(chapter, "")
    return name.strip(" _-.") or place.stem


def read_notebook(path: Path) -> tuple[str, list[CellStep]]:
    """The chapter of a notebook, and what its answers are made of.

    Raises CourseError, in one line, where the file is no notebook of the course.
    """
    cells = [_source(cell) for cell in _cells(path) if cell.get("cell_type") == "code"]
    return _chapter(path, cells), [_step(i, cell) for i, cell in enumerate(cells, 1)]


def _cells(path: Path) -> list[dict[str, Any]]:
    if path.stat().st_size > LARGEST:
        raise CourseError(f"the file is larger than {LARGEST // 1_000_000} MB")
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise CourseError("the file is not JSON, so not a notebook") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise CourseError("the file is JSON but not a notebook")
    return cells


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _chapter(path: Path, cells: list[str]) -> str:
    for name in [*_CHAPTER_CALL.findall("\n".join(cells)), *re.findall(r"\d\d", path.stem)]:
        try:
            return chapter_name(name)
        except CourseError:
            continue
    raise CourseError("no cell says which chapter this is")


def _step(number: int, source: str) -> CellStep:
    try:
        tree = _parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        checked = tuple(re.findall(r"chapter\.check\(\s*(\w+)\s*[,)]", source))
        return CellStep(number, "", checked, broken=f"{type(error).__name__}: {error}")
    kept = [node for node in tree.body if _is_kept(node)]
    checked = tuple(dict.fromkeys(name for node in kept for name in _checked(node)))
    # Line numbers stay those of the cell, for messages.
    lines = source.splitlines()
    wanted = {line for node in kept for line in range(_first(node), (node.end_lineno or 0) + 1)}
    text = "\n".join(line if i in wanted else "" for i, line in enumerate(lines, 1))
    return CellStep(number, text if kept else "", checked)


def _first(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:  # a cell may hold magics and shell commands
        return ast.parse(_MAGIC.sub("", source))


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, _DEFINITIONS):
        return True
    if any(True for _ in _checked(node)):
        return True
    value = getattr(node, "value", None)
    is_assignment = isinstance(node, (ast.Assign, ast.AnnAssign))
    return is_assignment and value is not None and not _does_something(value)


def _does_something(value: ast.expr) -> bool:
    """Whether evaluating this runs more than a plain value or a lambda."""
    if isinstance(value, ast.Lambda):
        return False
    return any(isinstance(node, (ast.Call, ast.Await, ast.Yield)) for node in ast.walk(value))


def _checked(node: ast.stmt) -> Iterator[str]:
    """The exercises that a statement checks: chapter.check(f) or chapter.check(g, name="f")."""
    if isinstance(node, _DEFINITIONS):
        return
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and _is_check(call.func):
            named = [k.value.value for k in call.keywords
                     if k.arg == "name" and isinstance(k.value, ast.Constant)]  # fmt: skip
            named += [a.value for a in call.args[1:2] if isinstance(a, ast.Constant)]
            named += [a.id for a in call.args[:1] if isinstance(a, ast.Name)]
            yield from (str(name) for name in named[:1])


def _is_check(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "check"
        and isinstance(function.value, ast.Name)
        and function.value.id == "chapter"
    )
