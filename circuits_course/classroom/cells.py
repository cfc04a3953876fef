"""What is kept of a notebook: imports, functions, classes, plain values and calls of `check`.

Its demonstrations, which load models and draw, are left out. Nothing is run here.
"""

from __future__ import annotations

import ast
import codecs
import io
import json
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from circuits_course.checks.chapters import chapter_name
from circuits_course.errors import CourseError

LARGEST_CELL = 200_000  # characters
LARGEST_CODE = 1_000_000  # of all cells together
MOST_CELLS = 10_000
MOST_MAGICS = 40  # in one cell
_CHAPTER_CALL = re.compile(r"Chapter\(\s*[\"']?([\w.]{1,80})[\"']?\s*\)")
_CHECK_CALL = re.compile(r"\.check\(\s*(\w+)\s*[,)]")
_MAGIC = re.compile(r"^([ \t]*)(?:[\w.]+ *= *)?[%!?].*$", re.MULTILINE)
_PYTHON_BODY = ("capture", "prun", "time", "timeit")
_DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


@dataclass(frozen=True)
class CellStep:
    """What is kept of one cell: source that defines things, or a syntax error's text in `broken`.

    exercises: those that the cell checks.
    """

    cell: int
    source: str
    exercises: tuple[str, ...] = ()
    broken: str = ""


def read_cells(name: str, content: bytes) -> tuple[str, list[CellStep]]:
    """The chapter of a notebook or Python file, and what its answers are made of.

    name: the file's. Raises CourseError, in one line, where it is nothing of the course.
    """
    if name.lower().endswith(".py"):
        cells = _parts(_decoded(content))
        if not any(cell.strip() for cell in cells):
            raise CourseError("the file is empty")
    else:
        cells = [_source(c) for c in _notebook_cells(content) if c.get("cell_type") == "code"]
    if len(cells) > MOST_CELLS or sum(map(len, cells)) > LARGEST_CODE:
        raise CourseError(
            f"the file has more than {MOST_CELLS} cells or {LARGEST_CODE:,} characters"
        )
    cells = [_normal(cell) for cell in cells]
    chapter = _chapter(name, cells)
    return chapter, _steps(cells, bare=name.lower().endswith(".py"))


def _decoded(content: bytes) -> str:
    """A Python file's text: as it declares, in UTF-8, or as Windows writes it."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding).removeprefix("\ufeff")
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return content.decode("cp1252", "replace")


def _parts(text: str) -> list[str]:
    """A Python file, cut at its cell marks (`# %%`, `# In[3]:`)."""
    return re.split(r"^(?=# (?:%%|In\[))", text, flags=re.MULTILINE)


def _notebook_cells(content: bytes) -> list[dict[str, Any]]:
    if not content.strip():
        raise CourseError("the file is empty")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError, MemoryError):
        raise CourseError("the file is not JSON, so not a notebook") from None
    cells = _cells_of(notebook) if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise CourseError("the file is JSON but not a notebook")
    return cells


def _cells_of(notebook: dict[str, Any]) -> Any:
    """Its cells; until format 3 they lay on sheets."""
    sheets = notebook.get("worksheets")
    if "cells" in notebook or not isinstance(sheets, list):
        return notebook.get("cells")
    sheets = [sheet.get("cells") if isinstance(sheet, dict) else None for sheet in sheets]
    return [c for cells in sheets if isinstance(cells, list) for c in cells] if sheets else None


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _normal(source: str) -> str:
    return source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def lines_of(source: str) -> list[str]:
    """The lines as Python counts them, with their ends: a form feed or U+2028 ends none."""
    return io.StringIO(source).readlines()


def _chapter(name: str, cells: list[str]) -> str:
    stem = re.sub(r"\.\w+$", "", name)
    called = [found for cell in cells for found in _CHAPTER_CALL.findall(cell)]
    for candidate in [*called, *re.findall(r"\d\d_[a-z_]+", stem), *re.findall(r"\d\d", stem)]:
        try:
            return chapter_name(candidate)
        except CourseError:
            continue
    raise CourseError("no cell says which chapter this is")


# --- cells ------------------------------------------------------------------------------------


def _steps(cells: list[str], bare: bool) -> list[CellStep]:
    parsed = [_parsed(cell) for cell in cells]
    names = {name for tree, _ in parsed if tree is not None for name in _checkers(tree)}
    steps = [
        _step(number, source, tree, trouble, names)
        for number, (source, (tree, trouble)) in enumerate(zip(cells, parsed, strict=True), 1)
    ]
    if bare and not any(step.exercises for step in steps):
        steps.append(_check_all(steps, len(cells) + 1))
    return steps


def _check_all(steps: list[CellStep], number: int) -> CellStep:
    """A Python file of functions without a check: each function that it defines is checked."""
    defined = [
        node.name
        for step in steps
        for node in ast.parse(step.source).body
        if isinstance(node, ast.FunctionDef)
    ]
    source = "\n".join(f"{name} = chapter.check({name})" for name in dict.fromkeys(defined))
    return CellStep(number, source, tuple(defined))


def _parsed(source: str) -> tuple[ast.Module | None, str]:
    """The tree of a cell, whose magics and shell commands IPython translates; or what is wrong."""
    if len(source) > LARGEST_CELL:
        return None, f"the cell is longer than {LARGEST_CELL} characters"
    try:
        try:
            return ast.parse(source), ""
        except SyntaxError as error:
            translated = _translated(source)
            if translated == source:
                raise error
            return ast.parse(translated), ""
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return None, f"{type(error).__name__}: {error}"


def _translated(source: str) -> str:
    """The cell as Python: `x = !ls` and the like become calls, which are then left out."""
    from IPython.core.inputtransformer2 import TransformerManager

    lines = lines_of(source)
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    magic = re.match(r"%%(\w+)", lines[first] if lines else "")
    if magic and magic[1] not in _PYTHON_BODY:
        return ""
    first += bool(magic)
    rest = "".join(lines[first:])
    if len(_MAGIC.findall(rest)) > MOST_MAGICS:  # IPython reads the whole cell again for each
        return "\n" * first + _MAGIC.sub(r"\1pass", rest)
    try:
        return "\n" * first + TransformerManager().transform_cell(rest)
    except Exception:  # it tries five hundred times, then raises what it likes
        return source


def _step(
    number: int, source: str, tree: ast.Module | None, trouble: str, names: set[str]
) -> CellStep:
    if tree is None:
        return CellStep(number, "", tuple(_CHECK_CALL.findall(source)[:50]), trouble)
    kept = [node for node in tree.body if _is_kept(node, names)]
    checked = tuple(dict.fromkeys(c for node in kept for c in _checked(node, names) if c))
    text = source if _parses(source) else _translated(source)
    return CellStep(number, _only(text, kept) if kept else "", checked)


def _only(text: str, kept: list[ast.stmt]) -> str:
    """The text of some statements, each where it stood: messages give the cell's line numbers."""
    lines = [line.rstrip("\n").encode() for line in lines_of(text)]
    blank = [bytearray(b" " * len(line)) for line in lines]
    before = (0, 0)
    for node in kept:
        start = (_first(node), node.col_offset if _first(node) == node.lineno else 0)
        end = (node.end_lineno or 0, node.end_col_offset or 0)
        for number in range(start[0], end[0] + 1):
            line = lines[number - 1]
            cut = slice(start[1] if number == start[0] else 0,
                        end[1] if number == end[0] else len(line))  # fmt: skip
            blank[number - 1][cut] = line[cut]
        if before[0] == start[0]:
            blank[start[0] - 1][before[1] : before[1] + 1] = b";"
        before = end
    return "\n".join(line.decode().rstrip() for line in blank) + "\n"


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _first(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _is_kept(node: ast.stmt, names: set[str]) -> bool:
    if isinstance(node, _DEFINITIONS):
        return True
    if any(True for _ in _checked(node, names)):
        return True
    value = getattr(node, "value", None)
    is_assignment = isinstance(node, ast.Assign | ast.AnnAssign)
    return is_assignment and value is not None and not _does_something(value)


def _does_something(value: ast.expr) -> bool:
    """Whether evaluating this runs more than a plain value, a lambda or `Chapter(...)`."""
    if isinstance(value, ast.Lambda):
        return False
    if isinstance(value, ast.Call) and _is_chapter(value.func):
        return False
    return any(isinstance(node, ast.Call | ast.Await | ast.Yield) for node in ast.walk(value))


def _is_chapter(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name == "Chapter"


# --- checks -----------------------------------------------------------------------------------


def _checkers(tree: ast.Module) -> Iterator[str]:
    """Other names under which a notebook checks: `c = chapter.check`, a function around it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _calls_check(node):
            yield node.name
        elif isinstance(node, ast.Assign):
            value = node.value
            other = isinstance(value, ast.Attribute) and value.attr == "check"
            if other or (isinstance(value, ast.Lambda) and _calls_check(value)):
                yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def _calls_check(node: ast.AST) -> bool:
    return any(
        isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr == "check"
        for inner in ast.walk(node)
    )


def _checked(node: ast.stmt, names: set[str]) -> Iterator[str]:
    """The exercises that a statement checks: chapter.check(f) or chapter.check(g, name="f")."""
    if isinstance(node, _DEFINITIONS):
        return
    if isinstance(getattr(node, "value", None), ast.Lambda):
        return
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and _is_check(call.func, names):
            named = [k.value.value for k in call.keywords
                     if k.arg == "name" and isinstance(k.value, ast.Constant)]  # fmt: skip
            named += [a.value for a in call.args[1:2] if isinstance(a, ast.Constant)]
            named += [a.id for a in call.args[:1] if isinstance(a, ast.Name)]
            yield str(named[0]) if named else ""


def _is_check(function: ast.expr, names: set[str]) -> bool:
    if isinstance(function, ast.Name):
        return function.id in names
    return isinstance(function, ast.Attribute) and function.attr == "check"
