"""Reference answers: loaded, shown, and turned into the stubs that a learner fills.

A reference stands once, in `solutions/NN_topic.py`. Lines between `# BEGIN BLANK` and
`# END BLANK` become `...` in the stub; a reference without blanks gives a stub that is its
signature and docstring.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

from circuits_course.checks.chapters import chapter_name
from circuits_course.checks.lock import SUFFIX, require_open
from circuits_course.errors import CourseError, UnknownName
from circuits_course.storage import masked, source_dir

BEGIN, END = "# BEGIN BLANK", "# END BLANK"


def reference_path(chapter: str) -> Path:
    """File of a chapter's reference answers. Raises CourseError where the chapter has none yet."""
    name = chapter_name(chapter)
    path = source_dir("solutions") / f"{name}.py"
    locked = path.with_name(path.name + SUFFIX)
    if not (path.is_file() or locked.is_file()):
        raise CourseError(f"Chapter {name} has no reference answers (looked for {path.name}).")
    return path if path.is_file() else locked


def _text(path: Path) -> str:
    content = path.read_bytes()
    return (masked(content) if path.suffix == SUFFIX else content).decode("utf-8")


@cache
def load_reference(chapter: str) -> ModuleType:
    """The reference answers of a chapter as a module; loaded once."""
    path = reference_path(chapter)
    module_name = f"circuits_course_reference_{chapter_name(chapter)}"
    if path.suffix == SUFFIX:
        module = sys.modules[module_name] = ModuleType(module_name)
        exec(compile(_text(path), f"<reference {chapter_name(chapter)}>", "exec"), vars(module))
        return module
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def reference_source(chapter: str, name: str) -> str:
    """Source of one reference answer, blank markers removed, without a trailing newline.

    Raises CourseError while solutions are locked.
    """
    require_open()
    lines = _marked_source(chapter, name)
    return "\n".join(line for line in lines if line.strip() not in (BEGIN, END))


def stub_source(chapter: str, name: str) -> str:
    """What the learner is given: the reference with its blanks blanked.

    Raises CourseError where the blank markers are not balanced.
    """
    lines = _marked_source(chapter, name)
    if any(line.strip() in (BEGIN, END) for line in lines):
        return "\n".join(_blanked(lines, f"{name} in {reference_path(chapter).name}"))
    return _signature_only("\n".join(lines))


def _marked_source(chapter: str, name: str) -> list[str]:
    path = reference_path(chapter)
    lines = _text(path).splitlines()
    found = _definitions("\n".join(lines))
    if name not in found:
        raise UnknownName(f"reference answer in {path.name}", name, found)
    node = found[name]
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    last = cast(int, node.end_lineno)
    if lines[last : last + 1] and lines[last].strip() == END:  # a comment, so not part of the node
        last += 1
    return lines[first - 1 : last]


def _definitions(source: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    body = ast.parse(source).body
    return {n.name: n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def _blanked(lines: list[str], where: str) -> list[str]:
    stub: list[str] = []
    inside = False
    for line in lines:
        mark = line.strip()
        if mark in (BEGIN, END):
            if (mark == BEGIN) is inside:
                raise CourseError(f"Unbalanced {BEGIN} / {END} in {where}.")
            inside = mark == BEGIN
            if inside:
                stub.append(line[: len(line) - len(line.lstrip())] + "...")
        elif not inside:
            stub.append(line)
    if inside:
        raise CourseError(f"{BEGIN} without {END} in {where}.")
    return stub


def _signature_only(source: str) -> str:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    has_docstring = ast.get_docstring(node) is not None
    keep = node.body[0].end_lineno if has_docstring else node.body[0].lineno - 1
    return "\n".join([*source.splitlines()[:keep], "    raise NotImplementedError"])
