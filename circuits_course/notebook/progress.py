"""A learner's progress: an append-only log of events in SQLite.

Every check, hint, prediction, explanation and quiz answer is one row, so nothing is ever
overwritten, two notebooks and any number of threads can write at once, and a kill in the middle of
a write loses that row at most. A damaged file is set aside under another name. Where the file
cannot be written, events wait in memory and are tried again with every later one and at the end.
"""

from __future__ import annotations

import atexit
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from circuits_course.errors import CourseError
from circuits_course.storage import data_dir, write_whole

Found = TypeVar("Found")
Row = tuple[str, ...]

FILE_NAME = "progress.sqlite"
PATIENCE, PATIENCE_LATER, PATIENCE_LAST = 4.0, 0.05, 10.0
"""Seconds that a file locked by somebody else may cost: at first, while that lasts, at the end."""
MOST_EVENTS, LONGEST_DETAIL = 200_000, 1_000_000
"""What is read of a file that somebody handed over: rows, and bytes of a value."""
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
_COLUMNS = "at, chapter, item, kind, detail"
_INSERT = f"INSERT INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
_HOLDS: dict[str, tuple[str, type]] = {
    "check": ("outcome", str),
    "hint": ("number", int),
    "predict": ("answer", str),
    "explain": ("answer", str),
    "quiz": ("answer", str),
}
"""Kind -> what its detail must hold for the rest of the course to read it."""


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
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[Row] = []
        self._troubled = False
        self._settle()

    def record(self, chapter: str, item: str, kind: str, **detail: Any) -> None:
        """Appends one event. Raises nothing: where the disk refuses, the event waits."""
        self._add([(_now(), chapter, item, kind, json.dumps(detail))])

    def events(self, chapter: str | None = None, kind: str | None = None) -> list[Event]:
        """The events so far, oldest first, of one chapter and kind where given."""
        asked = (
            row for row in self._rows() if chapter in (None, row[1]) and kind in (None, row[3])
        )
        return [event for event in map(_event, asked) if event is not None]

    def save(self, path: Path) -> int:
        """Writes the whole log to one file, whole or not at all; returns the number of events.

        Raises CourseError where the file cannot be written.
        """
        rows = [_row(event) for event in self.events()]
        try:
            with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
                copy = Path(scratch) / FILE_NAME
                with closing(_connect(copy)) as connection:
                    _write(connection, rows)
                write_whole(path, copy.read_bytes())
        except (OSError, sqlite3.Error) as error:
            raise CourseError(f"Progress cannot be saved to {path}: {_reason(error)}.") from error
        return len(rows)

    def restore(self, path: Path) -> int:
        """Adds the events of a saved file that are not there yet; returns how many those were.

        Raises CourseError where there is no such file or it holds no progress.
        """
        known = {_row(event) for event in self.events()}
        new = [row for row in map(_row, read_events(path)) if row not in known]
        self._add(new)
        return len(new)

    def close(self) -> None:
        """Writes what waits and closes the file; whoever records later opens it again."""
        with self._lock:
            self._settle(PATIENCE_LAST)
            self._let_go()

    # --- what waits ----------------------------------------------------------------------

    def _add(self, rows: list[Row]) -> None:
        with self._lock:
            self._waiting += rows
            self._settle()

    def _settle(self, patience: float | None = None) -> None:
        """Writes what waits; where that cannot be, says so once and keeps it."""
        if patience is None:
            patience = PATIENCE_LATER if self._troubled else PATIENCE
        try:
            self._with_file(lambda connection: _write(connection, self._waiting), patience)
        except (OSError, sqlite3.Error) as error:
            self._trouble(error)
            return
        if self._troubled:
            self._warn(f"Progress is kept in {self.path} again, with all that had to wait.")
        self._troubled, self._waiting = False, []

    def _trouble(self, error: Exception) -> None:
        if self._troubled:
            return
        self._troubled = True
        atexit.register(self.close)
        self._warn(
            f"Progress cannot be kept in {self.path} now ({_reason(error)}); it waits in memory "
            "and is tried again with every entry. If this lasts, set CIRCUITS_COURSE_HOME to a "
            "folder that can be written."
        )

    def _rows(self) -> list[Row]:
        query = f"SELECT {_COLUMNS} FROM event ORDER BY id"
        with self._lock:
            self._settle()
            patience = PATIENCE_LATER if self._troubled else PATIENCE
            try:
                kept = self._with_file(lambda c: c.execute(query).fetchall(), patience)
            except (OSError, sqlite3.Error) as error:
                self._trouble(error)
                kept = []
            return kept + self._waiting

    # --- the file ------------------------------------------------------------------------

    def _with_file(self, work: Callable[[sqlite3.Connection], Found], patience: float) -> Found:
        """What `work` makes of the open file; opened anew, and tried again, where it failed."""
        try:
            return work(self._opened(patience))
        except sqlite3.Error as error:
            self._let_go()
            if _is_locked(error):
                raise
            if _is_damage(error):
                self._set_aside()
        return work(self._opened(patience))

    def _opened(self, patience: float) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(self.path, patience)
        self._connection.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _set_aside(self) -> None:
        """Renames a damaged file, and its journal, which would harm a new one of that name."""
        if _is_sound(self.path):  # somebody else was faster
            return
        aside = _unused(f"{self.path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.replace(aside)
        journal = Path(f"{self.path}-journal")
        if journal.exists():
            journal.replace(f"{aside}-journal")
        self._warn(f"The progress file was damaged; it is kept as {aside} and a new one begun.")


def read_events(path: Path) -> list[Event]:
    """The events of a file, which is left as it is; what is no event is left out.

    Raises CourseError where there is no such file, it holds no progress, or is no such file.
    """
    if not path.is_file():
        raise CourseError(f"There is no file {path}.")
    with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
        copy = Path(scratch) / FILE_NAME
        try:
            copy.write_bytes(path.read_bytes())
            with closing(sqlite3.connect(copy)) as connection:
                rows = _foreign_rows(connection)
        except (OSError, sqlite3.Error, MemoryError) as error:
            raise CourseError(f"{path} holds no progress, or is damaged.") from error
    events = [event for event in map(_event, rows) if event is not None]
    if rows and not events:
        raise CourseError(f"{path} holds no progress that can be read.")
    return events


def _foreign_rows(connection: sqlite3.Connection) -> list[Row]:
    """The rows of somebody's file, within limits: of a table alone, since a view may be endless."""
    if sys.version_info >= (3, 11):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_DETAIL)
    connection.text_factory = _readable
    kind = connection.execute("SELECT type FROM sqlite_master WHERE name = 'event'").fetchone()
    if kind != ("table",):
        raise sqlite3.DataError("no table of events")
    query = f"SELECT {_COLUMNS} FROM event ORDER BY rowid LIMIT {MOST_EVENTS}"
    return connection.execute(query).fetchall()


def _event(row: Row) -> Event | None:
    """A row as an event; None where it is none, whoever wrote it."""
    if not all(isinstance(value, str) for value in row):
        return None
    at, chapter, item, kind, text = row
    try:
        event = Event(at, chapter, item, kind, json.loads(text))
    except (ValueError, RecursionError):
        return None
    return event if _is_readable(event) else None


def _is_readable(event: Event) -> bool:
    if not isinstance(event.detail, dict):
        return False
    if not isinstance(event.detail.get("diagnosis"), str | None):
        return False
    key, kind = _HOLDS.get(event.kind, (None, object))
    return key is None or isinstance(event.detail.get(key), kind)


def _row(event: Event) -> Row:
    return event.at, event.chapter, event.item, event.kind, json.dumps(event.detail)


def _connect(path: Path, patience: float = PATIENCE) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=patience, check_same_thread=False, isolation_level=None
    )
    connection.text_factory = _readable
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'event'").fetchone():
            _write(connection, [], _TABLE)
        connection.execute(f"SELECT {_COLUMNS} FROM event LIMIT 1").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _write(connection: sqlite3.Connection, rows: list[Row], first: str = "") -> None:
    """All or none, waiting for others first: a lock asked for midway would not be waited for."""
    if not rows and not first:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        if first:
            connection.execute(first)
        connection.executemany(_INSERT, rows)


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.OperationalError:  # locked: in use, so in order
        return True
    except sqlite3.DatabaseError:
        return False


def _is_damage(error: sqlite3.Error) -> bool:
    """SQLite's "malformed" and "not a database"; all else has a class of its own."""
    return type(error) is sqlite3.DatabaseError


def _is_locked(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _readable(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _unused(name: str) -> Path:
    path, number = Path(name), 1
    while path.exists():
        path, number = Path(f"{name}-{number}"), number + 1
    return path


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
