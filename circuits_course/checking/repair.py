"""The one change of a learner's own code with which every case passes.

A mistake is shown where it stands: small changes of the answer are tried until one makes all cases
pass. What is said then is no likeness but a fact, whatever the style of the answer. The same is
done to models in this course: change one place, and see whether the behaviour comes back.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import textwrap
import time
from collections.abc import Callable, Iterator
from itertools import chain
from types import FunctionType
from typing import Any

from circuits_course.checking.additions import statements_moved, steps_added
from circuits_course.checking.aside import in_a_copy
from circuits_course.checking.attempt import source_of
from circuits_course.checking.declaring import Case, Declaration
from circuits_course.checking.diagnosis import Cause
from circuits_course.checking.edits import (
    Edit,
    edits_in_place,
    edits_of_attributes,
    edits_of_names,
    edits_of_patterns,
    know_parents,
)
from circuits_course.checking.omissions import edits_that_drop
from circuits_course.checking.running import Finding, try_case
from circuits_course.checking.time_limit import time_limit

ONE_CHANGE = "one change"  # the name of such a cause, in progress and reports
SECONDS = 1.5  # of the processor, to look for a change; a learner waits for it
LONGEST = 5.0  # seconds on the clock
ENDLESS = 2.0  # seconds for one case of one changed answer
SLOWEST = 0.15  # a case that takes longer leaves no time to try much
OUTSIDE = ("open", "exec", "eval", "input", "globals", "setattr", "display", "show", "save",
           "write", "sleep", "urlopen", "os", "sys", "subprocess", "shutil",
           "pathlib", "Path")  # fmt: skip


def one_change(
    exercise: Declaration, attempt: Callable[..., Any], findings: list[Finding]
) -> Cause | None:
    """What to change, or None where no single change was found in time."""
    if not isinstance(attempt, FunctionType):  # one that lives elsewhere, or has no source
        return None
    because = in_a_copy(lambda: _search(exercise, attempt, findings), LONGEST)
    return Cause(ONE_CHANGE, because, True, whole=True, proven=True) if because else None


def _search(exercise: Declaration, attempt: FunctionType, findings: list[Finding]) -> str:
    tree = _tree(attempt)
    if tree is None:
        return ""
    order = _quickest_first(exercise, attempt, findings)
    for edit in _in_time(_edits(tree, exercise)) if order else ():
        changed = _changed(tree, attempt, edit)
        if changed and all(_passes(exercise, changed, place) for place in order):
            return _sentence(edit)
    return ""


def _sentence(edit: Edit) -> str:
    where = f"in line {edit.line} of your function"
    return f"One change, {where}, makes every case pass: {edit.phrase}."


def _in_time(edits: Iterator[Edit]) -> Iterator[Edit]:
    until = time.process_time() + SECONDS
    for edit in edits:
        if time.process_time() > until:
            return
        yield edit


def _edits(tree: ast.Module, exercise: Declaration) -> Iterator[Edit]:
    function = tree.body[0]
    names = exercise.parameters()
    numbers = [name for name in names if _is_number(exercise, name)]
    own = [argument.arg for argument in function.args.args]  # type: ignore[attr-defined]
    called = dict(zip(names, own, strict=False))  # a learner may name them otherwise
    numbers = [called.get(name, name) for name in numbers]
    return chain(
        edits_that_drop(function),
        edits_in_place(function, numbers),
        edits_of_attributes(function, _attributes(exercise, called)),
        edits_of_names(function),
        edits_of_patterns(function),
        statements_moved(function),
        steps_added(function, numbers),
    )


def _attributes(exercise: Declaration, called: dict[str, str]) -> dict[str, list[str]]:
    """What hangs on each argument that is an object of the course's own, by the learner's names."""
    case = exercise.built_cases()[0]
    values = dict(zip(exercise.parameters(), case.args, strict=False)) | case.kwargs
    return {
        called.get(name, name): [a for a in dir(value) if not a.startswith("_")]
        for name, value in values.items()
        if type(value).__module__.startswith("circuits_course")
    }


def _is_number(exercise: Declaration, name: str) -> bool:
    at = exercise.parameters().index(name)
    case = exercise.built_cases()[0]
    value = case.args[at] if at < len(case.args) else case.kwargs.get(name)
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- trying ---------------------------------------------------------------------------------------


def _quickest_first(
    exercise: Declaration, attempt: Callable[..., Any], findings: list[Finding]
) -> list[int]:
    """The cases in the order in which changes are tried on them: of those that the attempt fails
    the quickest, the others that it fails, and the rest. None where all are slow."""
    failed = [i for i, finding in enumerate(findings) if not finding.ok]
    times = {}
    for place in failed:
        before = time.monotonic()
        _passes(exercise, attempt, place)
        times[place] = time.monotonic() - before
        if times[place] < SLOWEST / 20:
            break
    if min(times.values()) > SLOWEST:
        return []
    first = min(times, key=times.__getitem__)
    rest = [i for i, _ in enumerate(exercise.built_cases()) if i != first]
    return [first, *sorted(rest, key=lambda i: (i not in failed, times.get(i, 0)))]


def _passes(exercise: Declaration, attempt: Callable[..., Any], place: int) -> bool:
    case: Case = exercise.built_cases()[place]
    with contextlib.suppress(KeyboardInterrupt), time_limit(ENDLESS):
        return try_case(exercise, attempt, case, exercise.expectations()[place]).ok
    return False


# --- the answer as a tree -------------------------------------------------------------------------


def _tree(attempt: FunctionType) -> ast.Module | None:
    """The source of a plain function, or None."""
    if attempt.__closure__ or inspect.unwrap(attempt) is not attempt:
        return None
    try:
        tree = ast.parse(textwrap.dedent(source_of(attempt)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    tree.body[0].decorator_list = []
    know_parents(tree)
    return None if any(_reaches_out(node) for node in ast.walk(tree)) else tree


def _reaches_out(node: ast.AST) -> bool:
    """Whether running it many times, changed, may leave something outside of the process."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    return name in OUTSIDE


def _changed(tree: ast.Module, attempt: Any, edit: Edit) -> Callable[..., Any] | None:
    edit.make()
    try:
        scope = dict(attempt.__globals__)
        exec(compile(ast.fix_missing_locations(tree), "<one change>", "exec"), scope)
    except Exception:  # no Python, or a default that cannot be had
        return None
    finally:
        edit.undo()
    return scope[tree.body[0].name]  # type: ignore[attr-defined]
