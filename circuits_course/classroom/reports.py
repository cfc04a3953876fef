"""What a report says of one submission, and the one rule by which answers stand."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from circuits_course.checking.outcome import Outcome


@dataclass
class Answer:
    """What came of one exercise. outcome: a name of `Outcome`."""

    outcome: str
    text: str = ""
    diagnosis: str | None = None

    @property
    def passed(self) -> bool:
        return self.outcome == Outcome.PASSED.name

    @property
    def tried(self) -> bool:
        return self.outcome != Outcome.NOT_ATTEMPTED.name


@dataclass
class Report:
    """One submission. trouble: what went wrong with the file as a whole, one line each.

    Of a progress file, answers and the rest are by "chapter: exercise", since it holds several
    chapters; tries, hints: counts; seen: whose solution was looked at; sentences: what the learner
    explained, as [chapter, question, text].
    """

    learner: str
    file: str
    chapter: str | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    sentences: list[list[str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def take(self, found: dict[str, Any]) -> None:
        """Takes over what `as_json` gave elsewhere, all but whose file it is."""
        for name, value in found.items():
            if name == "answers":
                value = {exercise: Answer(**answer) for exercise, answer in value.items()}
            if name not in ("learner", "file"):
                setattr(self, name, value)

    def place(self, name: str) -> tuple[str, str]:
        """Chapter and exercise of an answer's name."""
        if self.chapter:
            return self.chapter, name
        chapter, _, exercise = name.partition(": ")
        return chapter, exercise


def stands(before: Answer | None, now: Answer) -> Answer:
    """Which of two answers to an exercise counts: one that passed, else the last that was tried."""
    if before is None or (now.tried and not before.passed):
        return now
    return now if now.passed else before
