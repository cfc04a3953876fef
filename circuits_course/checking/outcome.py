"""What a check found, and the message that a learner reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from circuits_course.errors import CourseError


class Outcome(Enum):
    """What a check found; the value is the word that stands in messages."""

    PASSED = "Passed"
    WRONG = "Wrong"
    NOT_ATTEMPTED = "Not attempted yet"
    CRASHED = "Crashed"

    @property
    def glyph(self) -> str:
        return {"PASSED": "✔", "WRONG": "✘", "NOT_ATTEMPTED": "○", "CRASHED": "✘"}[self.name]


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    message: what is wrong, in words, the first thing to read. diagnosis: name of the wrong answer
    on file that the attempt behaves like. trace: the learner's own lines that led to a crash.
    """

    exercise: str
    outcome: Outcome
    message: str
    diagnosis: str | None = None
    trace: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def text(self) -> str:
        """The whole message: glyph, word, sentence; the trace last."""
        first = f"{self.outcome.glyph} {self.message}"
        return f"{first}\n{self.trace}" if self.trace else first


class CheckFailed(CourseError):
    """Strict mode: a check did not pass."""
