"""What the reports of a class say together: who is stuck where, and with which idea."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from circuits_course.checking.outcome import Outcome
from circuits_course.checks import ChapterChecks, load_checks
from circuits_course.checks.chapters import CHAPTERS
from circuits_course.classroom.names import Roster
from circuits_course.classroom.reports import Answer, Report, stands

NO_CAUSE = "no mistake on file"
_RAISED = re.compile(r"Your function raised (.*?)(?: on [a-z_]\w* [^\n]*)?(?:\n|$)")


@dataclass
class Work:
    """One learner's work on one exercise.

    Of a progress file: tries, hints, solution seen; claimed: that the answer that stands was not
    checked here, but is what that file says.
    """

    answer: Answer | None = None
    claimed: bool = False
    tries: int = 0
    hints: int = 0
    seen: bool = False

    @property
    def outcome(self) -> str:
        return self.answer.outcome if self.answer else Outcome.NOT_ATTEMPTED.name


Rows = dict[str, dict[str, Work]]
"""Learner -> exercise -> work."""


@dataclass(frozen=True)
class Stumble:
    """Something that went wrong in the same way for some: an idea, or a crash.

    what: the sentence, with `code` marked. out_of: who handed in the chapter.
    """

    chapter: str
    exercise: str
    what: str
    learners: tuple[str, ...]
    out_of: int


@dataclass
class ChapterView:
    """One chapter of a class."""

    checks: ChapterChecks
    rows: Rows = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.checks.chapter

    @property
    def exercises(self) -> list[str]:
        return list(self.checks.exercises)

    def work(self, learner: str, exercise: str) -> Work:
        return self.rows.setdefault(learner, {}).setdefault(exercise, Work())

    def passed_by(self, exercise: str) -> int:
        return sum(_outcome(row, exercise) == Outcome.PASSED.name for row in self.rows.values())

    def beliefs(self) -> list[Stumble]:
        """Wrong answers, by the idea behind them, commonest first."""
        return self._stumbles(Outcome.WRONG.name, self._because)

    def crashes(self) -> list[Stumble]:
        """Answers that ended in an exception or were ended, by what it said."""
        return self._stumbles(Outcome.CRASHED.name, lambda _exercise, answer: cause_of(answer))

    def _stumbles(self, outcome: str, what: Callable[[str, Answer], str]) -> list[Stumble]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for learner in sorted(self.rows, key=as_people_sort):
            for exercise in self.exercises:
                answer = self.rows[learner].get(exercise, Work()).answer
                if answer is not None and answer.outcome == outcome:
                    found[exercise, what(exercise, answer)].append(learner)
        order = {name: place for place, name in enumerate(self.exercises)}
        keys = sorted(found, key=lambda key: (-len(found[key]), order[key[0]], key[1]))
        count = len(self.rows)
        return [Stumble(self.name, e, w, tuple(found[e, w]), count) for e, w in keys]

    def _because(self, exercise: str, answer: Answer) -> str:
        return because(self.checks, exercise, answer.diagnosis)

    def stops(self) -> list[tuple[str, list[str]]]:
        """The first exercise that is not solved, and who stands there; not those who finished."""
        found: dict[str, list[str]] = {exercise: [] for exercise in self.exercises}
        for learner in sorted(self.rows, key=as_people_sort):
            row = self.rows[learner]
            first = next((e for e in self.exercises if _outcome(row, e) != "PASSED"), None)
            if first:
                found[first].append(learner)
        return [(exercise, learners) for exercise, learners in found.items() if learners]

    def finished(self) -> int:
        return sum(all(_outcome(r, e) == "PASSED" for e in self.exercises)
                   for r in self.rows.values())  # fmt: skip


@dataclass
class Overview:
    """A class. sentences: (learner, chapter, question, text) of what people explained.

    unnamed: learners whose files no name on the roster fits; missing: those on it without a file.
    """

    reports: Sequence[Report]
    chapters: list[ChapterView]
    sentences: list[tuple[str, str, str, str]]
    missing: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)

    @property
    def several(self) -> dict[tuple[str, str], list[str]]:
        """(learner, chapter) -> files, where somebody handed in more than one on a chapter."""
        files: dict[tuple[str, str], list[str]] = defaultdict(list)
        for report in self.reports:
            if report.chapter:
                files[report.learner, report.chapter].append(report.file)
        return {key: names for key, names in files.items() if len(names) > 1}

    @property
    def learners(self) -> list[str]:
        return sorted({report.learner for report in self.reports}, key=as_people_sort)

    def stumbles(self) -> list[Stumble]:
        """The beliefs of all chapters, commonest first, those with a known idea before others."""
        found = [stumble for chapter in self.chapters for stumble in chapter.beliefs()]
        known = [s for s in found if s.what != NO_CAUSE]
        return sorted(known, key=lambda s: -len(s.learners))


def overview(reports: Sequence[Report], roster: Roster | None = None) -> Overview:
    """All reports of a class taken together; a learner's files on a chapter count as one."""
    views: dict[str, ChapterView] = {}
    sentences: list[tuple[str, str, str, str]] = []
    for report in reports:
        if report.chapter:
            _view(views, report.chapter).rows.setdefault(report.learner, {})
        _take_answers(views, report)
        sentences += [
            (report.learner, chapter, key, text) for chapter, key, text in report.sentences
        ]
    found = Overview(reports, [views[c] for c in CHAPTERS if c in views], sorted(sentences))
    if roster is not None:
        here = set(found.learners)
        found.missing = [name for name in roster.people if name not in here]
        found.unnamed = [name for name in found.learners if name not in roster.people]
    return found


def _view(views: dict[str, ChapterView], chapter: str) -> ChapterView:
    return views.setdefault(chapter, ChapterView(load_checks(chapter)))


def _take_answers(views: dict[str, ChapterView], report: Report) -> None:
    for name, answer in report.answers.items():
        chapter, exercise = report.place(name)
        work = _view(views, chapter).work(report.learner, exercise)
        before, work.answer = work.answer, stands(work.answer, answer)
        if work.answer is not before:
            work.claimed = report.chapter is None
    for name in {*report.tries, *report.hints, *report.seen}:
        chapter, exercise = report.place(name)
        work = _view(views, chapter).work(report.learner, exercise)
        work.tries += report.tries.get(name, 0)
        work.hints += report.hints.get(name, 0)
        work.seen = work.seen or name in report.seen


def because(checks: ChapterChecks, exercise: str, diagnosis: str | None) -> str:
    """The sentence of a wrong answer on file."""
    for wrong in checks.exercises[exercise].wrong_answers:
        if wrong.name == diagnosis:
            return wrong.because
    return NO_CAUSE


def cause_of(answer: Answer) -> str:
    """Why an answer crashed, in one line: the exception, or what became of its process."""
    found = _RAISED.search(answer.text)
    line = found[1] if found else (answer.text.strip().splitlines() or ["no reason known"])[0]
    return line.removeprefix("✘ ").removeprefix("Your function ").rstrip(".")[:200]


def as_people_sort(name: str) -> list[tuple[int, str]]:
    """Numbers within names by their size: ann_2 before ann_10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part) if part.isascii() and part.isdigit() else -1, part) for part in parts]


def _outcome(row: dict[str, Work], exercise: str) -> str:
    return row.get(exercise, Work()).outcome


def all_works(view: ChapterView, learner: str) -> Iterable[tuple[str, Work]]:
    """Every exercise of a chapter with a learner's work on it, in its order."""
    row = view.rows.get(learner, {})
    return [(exercise, row.get(exercise, Work())) for exercise in view.exercises]
