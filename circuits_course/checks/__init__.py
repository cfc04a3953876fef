"""What each chapter asks: exercises with their hints, cases and wrong answers, and questions.

A folder per chapter, `cNN_topic/`: a file for each exercise, named as the exercise, and
`questions.py`. The exercises of a chapter come in the order of their slots in its source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from circuits_course.checking.exercise import Exercise
from circuits_course.checks.chapters import CHAPTERS, chapter_name
from circuits_course.checks.questions import Questions
from circuits_course.errors import CourseError, UnknownName
from circuits_course.storage import source_dir

HELPERS = ("questions", "shared")  # files of a chapter's folder that are no exercise
SLOT = re.compile(r'^# %%.*\bexercise="(\w+)"', re.MULTILINE)


@dataclass(frozen=True)
class ChapterChecks:
    """The exercises of one chapter, in its order, and its questions."""

    chapter: str
    exercises: dict[str, Exercise]
    questions: Questions

    def find_exercise(self, name: str) -> Exercise:
        """An exercise by name. Raises UnknownName with the nearest ones."""
        if name not in self.exercises:
            raise UnknownName(f"exercise in chapter {self.chapter}", name, self.exercises)
        return self.exercises[name]


def load_checks(chapter: str | int) -> ChapterChecks:
    """The checks of a chapter. Raises CourseError where the chapter has none yet."""
    name = chapter_name(chapter)
    if find_spec(f"{__name__}.c{name}") is None:
        raise CourseError(f"Chapter {name} is not written yet. Ready: {', '.join(ready())}.")
    return _load(name)


@cache
def _load(chapter: str) -> ChapterChecks:
    package = f"{__name__}.c{chapter}"
    exercises = {name: _exercise(package, name) for name in _in_order(chapter)}
    return ChapterChecks(chapter, exercises, import_module(f"{package}.questions").questions)


def _in_order(chapter: str) -> list[str]:
    """The files of the chapter's exercises, in the order of the chapter's text."""
    folder = Path(__file__).parent / f"c{chapter}"
    files = {path.stem for path in folder.glob("[a-z]*.py")} - set(HELPERS)
    source = source_dir("exercises") / f"{chapter}.py"
    slots = SLOT.findall(source.read_text(encoding="utf-8")) if source.is_file() else []
    return sorted(
        files, key=lambda name: (slots.index(name) if name in slots else len(slots), name)
    )


def _exercise(package: str, name: str) -> Exercise:
    made = getattr(import_module(f"{package}.{name}"), name, None)
    if not isinstance(made, Exercise) or made.name != name:
        raise CourseError(
            f"{package}.{name} needs `{name} = Exercise({name!r}, ...)`: "
            "a file of checks is named as its exercise."
        )
    return made


def modules() -> list[str]:
    """The names of all modules that checks need, for whoever imports them beforehand."""
    return [f"{__name__}.c{chapter}.{name}" for chapter in ready() for name in _in_order(chapter)]


def ready() -> list[str]:
    """The chapters that can be checked."""
    return [c for c in CHAPTERS if find_spec(f"{__name__}.c{c}") is not None]
