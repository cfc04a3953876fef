"""What comes back to a learner: questions once missed, and how sure they were when they were right.

All of it is read off the progress log. The first answer to a question is the one that counts: what
is said after the feedback shows memory of the feedback.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from circuits_course.checks.chapters import CHAPTERS
from circuits_course.checks.questions import SURE, MultipleChoice, Questions
from circuits_course.notebook.progress import Event

DELAYS = (2, 5)  # a question missed comes back so many chapters later
MOST = 3  # and no more than so many at once

FindQuestions = Callable[[str], Questions]


@dataclass(frozen=True)
class Returning:
    """A question of an earlier chapter that was missed there. kind: "quiz" or "predict"."""

    chapter: str
    kind: str
    question: MultipleChoice
    answered: str | None  # what was said to it when it came back here


@dataclass(frozen=True)
class Guess:
    """The first answer to a prediction, and how sure the learner said to be of it."""

    chapter: str
    sure: str | None
    right: bool


def returning(chapter: str, events: Iterable[Event], find: FindQuestions) -> list[Returning]:
    """Questions missed two and five chapters before this one, in the order in which they came."""
    found = []
    for (earlier, kind, key), answers in _answers(events).items():
        question = _known(earlier, kind, key, find)
        if question is None or _distance(earlier, chapter) not in DELAYS:
            continue
        first = answers[0]
        here = [e.detail.get("answer") for e in answers if e.detail.get("back_in") == chapter]
        if "back_in" not in first.detail and first.detail.get("answer") != question.answer:
            found.append(Returning(earlier, kind, question, here[-1] if here else None))
    return found[:MOST]


def guesses(events: Iterable[Event], find: FindQuestions) -> list[Guess]:
    """The first answer to every prediction of which the right one is known."""
    found = []
    for (chapter, kind, key), answers in _answers(events).items():
        question = _known(chapter, kind, key, find) if kind == "predict" else None
        if question is not None:
            said = answers[0].detail
            found.append(Guess(chapter, said.get("sure"), said.get("answer") == question.answer))
    return found


def calibration(found: list[Guess], chapter: str) -> list[list[str]]:
    """How sure; how many were right, in this chapter and in all: a row for each that was said."""
    rows = []
    levels: list[tuple[str | None, str]] = [*SURE.items(), (None, "not said")]
    for key, words in levels:
        of_all = [guess for guess in found if guess.sure == key]
        if of_all:
            here = [guess for guess in of_all if guess.chapter == chapter]
            rows.append([words, _share(here), _share(of_all)])
    return rows


def _share(found: list[Guess]) -> str:
    return f"{sum(guess.right for guess in found)} of {len(found)}" if found else "none"


def _answers(events: Iterable[Event]) -> dict[tuple[str, str, str], list[Event]]:
    """All answers to each question, oldest first."""
    answers: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event.kind in ("quiz", "predict"):
            answers[event.chapter, event.kind, event.item].append(event)
    return answers


def _known(chapter: str, kind: str, key: str, find: FindQuestions) -> MultipleChoice | None:
    """The question, where it is still on file."""
    if chapter not in CHAPTERS:
        return None
    asked = find(chapter)
    return (asked.quizzes if kind == "quiz" else asked.predictions).get(key)


def _distance(earlier: str, later: str) -> int:
    order = list(CHAPTERS)
    return order.index(later) - order.index(earlier)
