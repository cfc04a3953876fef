"""A learner's progress: an append-only log of events in SQLite.

Every check, hint, prediction, explanation and quiz answer is one row, so nothing is ever
overwritten, two notebooks can write at once, and a kill in the middle of a write loses that row
at most. A damaged file is set aside under another name; where nothing can be written, progress
is kept in memory and said to be.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.storage import data_dir, write_whole

FILE_NAME = "progress.sqlite"
BUSY_SECONDS = 10.0
_TABLE = """
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    chapter TEXT NOT NULL,
    item TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class Event:
    """One thing a learner did. kind: "check", "hint", "solution", "predict", "explain", "quiz"."""

    at: str
    chapter: str
    item: str
    kind: str
    detail: dict[str, Any]


class Progress:
    """The log of one learner, by default in the user's data folder.

    warn: called with one line whenever something is amiss; the notebook goes on in every case.
    """

    def __init__(self, path: Path | None = None, warn: Callable[[str], None] | None = None) -> None:
        self.path = path if path is not None else data_dir() / FILE_NAME
        self._warn = warn or (lambda line: print(line))
        self._connection = self._open()

    def record(self, chapter: str, item: str, kind: str, **detail: Any) -> None:
        """Appends one event. Raises nothing: where the disk refuses, memory takes over."""
        row = (_now(), chapter, item, kind, json.dumps(detail))
        try:
            self._insert(row)
        except sqlite3.Error as error:
            self._connection = self._recover(error)
            self._insert(row)

    def events(self, chapter: str | None = None, kind: str | None = None) -> list[Event]:
        """The events so far, oldest first, of one chapter and kind where given."""
        query = "SELECT at, chapter, item, kind, detail FROM event WHERE 1"
        wanted = {"chapter": chapter, "kind": kind}
        given = {name: value for name, value in wanted.items() if value is not None}
        query += "".join(f" AND {name} = :{name}" for name in given) + " ORDER BY id"
        try:
            rows = self._connection.execute(query, given).fetchall()
        except sqlite3.Error as error:
            self._connection = self._recover(error)
            rows = []
        return [
            Event(at, name, item, what, json.loads(detail)) for at, name, item, what, detail in rows
        ]

    def save(self, path: Path) -> int:
        """Writes the whole log to one file, whole or not at all; returns the number of events.

        Raises CourseError where the file cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
            copy = Path(scratch) / FILE_NAME
            with closing(_connect(copy)) as connection:
                self._connection.backup(connection)
            content = copy.read_bytes()
        try:
            write_whole(path, content)
        except OSError as error:
            raise CourseError(f"Progress cannot be saved to {path}: {error.strerror}.") from error
        return len(self.events())

    def restore(self, path: Path) -> int:
        """Adds the events of a saved file that are not there yet; returns how many those were.

        Raises CourseError where there is no such file or it holds no progress.
        """
        known = {_row(event) for event in self.events()}
        new = [row for row in map(_row, read_events(path)) if row not in known]
        for row in new:
            self._insert(row)
        return len(new)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _insert(self, row: tuple[str, ...]) -> None:
        with self._connection:
            self._connection.execute(
                "INSERT INTO event (at, chapter, item, kind, detail) VALUES (?, ?, ?, ?, ?)", row
            )

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return _connect(self.path)
        except (OSError, sqlite3.Error) as error:
            return self._recover(error)

    def _recover(self, error: Exception) -> sqlite3.Connection:
        damaged = isinstance(error, sqlite3.DatabaseError)
        if damaged and not isinstance(error, sqlite3.OperationalError):
            return self._start_afresh()
        return self._in_memory(error)

    def _start_afresh(self) -> sqlite3.Connection:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            self.path.replace(aside)
            self._warn(f"The progress file was damaged; it is kept as {aside} and a new one begun.")
            return _connect(self.path)
        except (OSError, sqlite3.Error) as error:
            return self._in_memory(error)

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        self._warn(
            f"Progress cannot be kept in {self.path} ({error}); it lasts until this notebook "
            "stops. Set CIRCUITS_COURSE_HOME to a folder that can be written to keep it."
        )
        return _connect(":memory:")


def read_events(path: Path) -> list[Event]:
    """The events of a file, which is left as it is.

    Raises CourseError where there is no such file or it holds no progress.
    """
    if not path.is_file():
        raise CourseError(f"There is no file {path}.")
    with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
        copy = Path(scratch) / FILE_NAME
        damage: list[str] = []
        copy.write_bytes(path.read_bytes())
        log = Progress(copy, warn=damage.append)
        events = log.events()
        log.close()
    if damage:
        raise CourseError(f"{path} holds no progress, or is damaged.")
    return events


def _row(event: Event) -> tuple[str, ...]:
    return event.at, event.chapter, event.item, event.kind, json.dumps(event.detail)


def _connect(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        with connection:
            connection.execute(_TABLE)
            connection.execute("SELECT at, chapter, item, kind, detail FROM event LIMIT 1")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
