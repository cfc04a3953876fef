"""What a learner's progress file says, read without trusting it."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from circuits_course.checking.outcome import Outcome
from circuits_course.checks import load_checks, ready
from circuits_course.classroom.reports import Answer, stands
from circuits_course.classroom.wire import clean
from circuits_course.errors import CourseError

MOST_EVENTS = 100_000
LONGEST_DETAIL = 20_000
SECONDS = 10.0
_QUERY = "SELECT chapter, item, kind, detail FROM event ORDER BY id LIMIT ?"
_SCHEMA = "SELECT type, sql FROM sqlite_schema WHERE name = 'event'"
_COMPUTED = re.compile(r"\bas\b", re.IGNORECASE)  # of a view, of a column that is made up


@dataclass
class Deeds:
    """What a learner did beside handing in answers, by "chapter: exercise".

    sentences: (chapter, question, text) of `chapter.explain`, the last of each.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    sentences: dict[tuple[str, str], str] = field(default_factory=dict)


def read_deeds(content: bytes) -> Deeds:
    """The events of a progress file. Raises CourseError where it is none, or damaged."""
    deeds = Deeds()
    for chapter, item, kind, detail in _events(content):
        if kind == "explain" and chapter in ready():
            if item in load_checks(chapter).questions.explanations:
                deeds.sentences[chapter, item] = clean(detail.get("answer", ""), 2000)
        elif chapter in ready() and item in load_checks(chapter).exercises:
            _note(deeds, f"{chapter}: {item}", kind, detail)
    return deeds


def _note(deeds: Deeds, name: str, kind: str, detail: dict[str, object]) -> None:
    if kind == "hint":
        deeds.hints[name] = deeds.hints.get(name, 0) + 1
    elif kind == "solution" and name not in deeds.seen:
        deeds.seen.append(name)
    elif kind == "check" and str(detail.get("outcome")) in Outcome.__members__:
        outcome, diagnosis = str(detail["outcome"]), detail.get("diagnosis")
        known = diagnosis if isinstance(diagnosis, str) else None
        tried = outcome != Outcome.NOT_ATTEMPTED.name
        deeds.tries[name] = deeds.tries.get(name, 0) + tried
        answer = Answer(outcome, "", None if known is None else clean(known, 200))
        deeds.answers[name] = stands(deeds.answers.get(name), answer)


def _events(content: bytes) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Chapter, item, kind and detail of each event; those in no known form are left out."""
    for row in _rows(content):
        if not all(isinstance(cell, str) for cell in row) or len(row[3]) > LONGEST_DETAIL:
            continue
        try:
            detail = json.loads(row[3])
        except (ValueError, RecursionError):
            continue
        if isinstance(detail, dict):
            yield row[0], row[1], row[2], detail


def _rows(content: bytes) -> list[tuple[str, ...]]:
    with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
        path = Path(scratch) / "progress.sqlite"
        path.write_bytes(content)
        deadline = time.monotonic() + SECONDS
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
                kind, sql = connection.execute(_SCHEMA).fetchone() or ("nothing", "")
                if kind != "table" or _COMPUTED.search(sql):  # which may be without end
                    raise CourseError("the file holds no progress")
                return connection.execute(_QUERY, (MOST_EVENTS,)).fetchall()
        except (sqlite3.Error, UnicodeError) as error:
            raise CourseError(f"the file holds no progress, or is damaged ({error})") from None
