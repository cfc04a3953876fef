"""The process that runs one learner's answers.

It says over a pipe, in JSON, which exercise it begins and what came of it, so that what it had
found before it was stopped is kept.
"""

from __future__ import annotations

import ast
import json
import linecache
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from circuits_course.checking.outcome import Outcome
from circuits_course.checks import load_checks, modules
from circuits_course.checks.references import load_reference
from circuits_course.classroom.sandbox import confine
from circuits_course.classroom.submissions import CellStep
from circuits_course.errors import CourseError

LONGEST = 2000  # characters of a message
KNOWN = ("circuits_course", "einops", "jaxtyping", "numpy", "torch", "transformer_lens")
CHECKS = modules()
"""What takes seconds to import: a server process does so once, and is copied for each notebook."""

Say = Callable[..., None]


def work(
    pipe: Any, chapter: str, steps: list[CellStep], skip: list[str], scratch: str, seconds: int
) -> None:
    """Checks a notebook's answers. skip: exercises not to run again, since they ended a process."""

    def say(kind: str, **what: Any) -> None:
        pipe.send_bytes(json.dumps({"kind": kind, **what}).encode())

    checks, reference = load_checks(chapter), vars(load_reference(chapter))
    import torch

    torch.set_num_threads(1)
    _import_what_is_known(steps)
    confine(Path(scratch), seconds)
    grader = _Grader(checks, reference, skip, say)
    namespace: dict[str, Any] = {"__name__": "__main__", "chapter": grader}
    for step in steps:
        _run(step, namespace, grader, say)
    say("end")


def _run(step: CellStep, namespace: dict[str, Any], grader: _Grader, say: Say) -> None:
    if step.broken:
        for name in step.exercises:
            grader.note(name, Outcome.CRASHED.name, step.broken)
        return
    name = f"<cell {step.cell}>"
    linecache.cache[name] = (len(step.source), None, step.source.splitlines(True), name)
    say("cell", cell=step.cell)
    for statement in ast.parse(step.source).body:
        try:
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
        except CourseError:
            continue  # a check of something that is no exercise
        except BaseException as error:  # where it matters, an exercise misses what was left out
            if step.exercises and not set(step.exercises) & grader.seen:
                for exercise in step.exercises:
                    grader.note(exercise, Outcome.CRASHED.name, f"{type(error).__name__}: {error}")


def _import_what_is_known(steps: list[CellStep]) -> None:
    """Imports the packages that answers use; some cannot be imported once confined."""
    for step in steps:
        for node in ast.parse(step.source).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                if name.split(".")[0] in KNOWN:
                    with suppress(Exception):
                        import_module(name)


class _Grader:
    """Stands for the notebook's `chapter`: checks, and otherwise says nothing."""

    def __init__(self, checks: Any, reference: dict[str, Any], skip: list[str], say: Say) -> None:
        self._checks, self._reference, self._skip, self._say = checks, reference, skip, say
        self.seen: set[str] = set()

    def check(self, answer: Any, name: str | None = None) -> Any:
        """As `Chapter.check`: the answer if it passes, else the reference."""
        exercise = self._checks.find_exercise(name or getattr(answer, "__name__", str(answer)))
        if exercise.name in self._skip:
            return self._reference[exercise.name]
        self._say("begin", exercise=exercise.name)
        result = exercise.check(answer)
        self.note(exercise.name, result.outcome.name, result.text, result.diagnosis)
        return answer if result.passed else self._reference[exercise.name]

    def note(self, exercise: str, outcome: str, text: str, diagnosis: str | None = None) -> None:
        """Says what came of an exercise."""
        self.seen.add(exercise)
        text = text[:LONGEST]
        self._say("result", exercise=exercise, outcome=outcome, text=text, diagnosis=diagnosis)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_kwargs: None
