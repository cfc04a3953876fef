"""Wrong answers that are the reference with a word or two changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from circuits_course.checking.exercise import Exercise
from circuits_course.checks.references import load_reference
from circuits_course.errors import CourseError


def slip(exercise: Exercise, name: str, because: str, *edits: tuple[str, str]) -> None:
    """Puts a slip on file: the reference in which each `(old, new)` text is replaced.

    because: the sentence for whoever makes it, as in `Exercise.wrong`. The reference is read when
    the slip is first run; CourseError where it does not hold an `old`.
    """
    chapter = exercise.module.split(".")[-2].removeprefix("c")

    def slipped(*args: Any, **kwargs: Any) -> Any:
        return _made(chapter, exercise.name, name, edits)(*args, **kwargs)

    slipped.__name__ = name
    exercise.wrong(because)(slipped)


@cache
def _made(
    chapter: str, exercise: str, name: str, edits: tuple[tuple[str, str], ...]
) -> Callable[..., Any]:
    reference = load_reference(chapter)
    source = inspect.getsource(getattr(reference, exercise))
    for old, new in edits:
        if old not in source:
            raise CourseError(f"Slip {name!r}: the reference of {exercise} has no {old!r}.")
        source = source.replace(old, new)
    scope = dict(vars(reference))
    exec(compile(source, f"<slip {name}>", "exec"), scope)
    return scope[exercise]
