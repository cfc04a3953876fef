"""What each chapter asks: exercises with their hints, cases and wrong answers, and questions.

One module per chapter, `cNN_topic.py`, holds `checks = ChapterChecks("NN_topic")`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec

from circuits_course.checking.compare import TOLERANCE, Tolerance
from circuits_course.checking.exercise import Exercise
from circuits_course.checks.chapters import CHAPTERS, chapter_name
from circuits_course.errors import CourseError, UnknownName
from circuits_course.notebook.questions import MultipleChoice, Sentence


class ChapterChecks:
    """The exercises and questions of one chapter, in the order in which they are declared."""

    def __init__(self, chapter: str) -> None:
        self.chapter = chapter_name(chapter)
        self.exercises: dict[str, Exercise] = {}
        self.predictions: dict[str, MultipleChoice] = {}
        self.quizzes: dict[str, MultipleChoice] = {}
        self.explanations: dict[str, Sentence] = {}

    def exercise(
        self,
        name: str,
        *,
        difficulty: int,
        importance: int,
        minutes: int,
        hints: Sequence[str],
        tolerance: Tolerance = TOLERANCE,
    ) -> Exercise:
        """Declares an exercise; difficulty and importance from 1 to 5, hints in steps."""
        if not (1 <= difficulty <= 5 and 1 <= importance <= 5):
            raise ValueError(f"{name}: difficulty and importance run from 1 to 5.")
        exercise = Exercise(name, difficulty, importance, minutes, tuple(hints), tolerance)
        self.exercises[name] = exercise
        return exercise

    def prediction(
        self, key: str, question: str, choices: Mapping[str, str], answer: str | None = None
    ) -> None:
        """Declares something to predict: choice -> what to say after it. `answer` is None where
        the cell that follows shows it."""
        self.predictions[key] = MultipleChoice(key, question, choices, answer)

    def quiz(self, key: str, question: str, choices: Mapping[str, str], answer: str) -> None:
        """Declares a retrieval question: choice -> feedback."""
        self.quizzes[key] = MultipleChoice(key, question, choices, answer)

    def explanation(self, key: str, question: str, example: str) -> None:
        """Declares something to explain in one sentence; `example` is shown afterwards."""
        self.explanations[key] = Sentence(key, question, example)

    def find_exercise(self, name: str) -> Exercise:
        """An exercise by name. Raises UnknownName with the nearest ones."""
        if name not in self.exercises:
            raise UnknownName(f"exercise in chapter {self.chapter}", name, self.exercises)
        return self.exercises[name]


def load_checks(chapter: str) -> ChapterChecks:
    """The checks of a chapter. Raises CourseError where the chapter has none yet."""
    name = chapter_name(chapter)
    module = f"circuits_course.checks.c{name}"
    if find_spec(module) is None:
        raise CourseError(f"Chapter {name} is not written yet. Ready: {', '.join(ready())}.")
    return import_module(module).checks


def ready() -> list[str]:
    """The chapters that can be checked."""
    return [c for c in CHAPTERS if find_spec(f"circuits_course.checks.c{c}") is not None]
