"""Solutions locked until the teacher's date or word, while unfinished exercises still go on.

A learner's wheel made with a lock carries the reference answers as text that no search or preview
shows, since the course itself has to run them. That is an envelope, no lock against somebody who
takes the package apart.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date

from circuits_course.errors import CourseError
from circuits_course.storage import data_dir, source_dir, write_whole

LOCK, SUFFIX, WORD = "lock.json", ".locked", "solutions-word"


@dataclass(frozen=True)
class Lock:
    """What opens the solutions. until: a date, as 2026-12-01; word: the hash of a word; or ""."""

    until: str = ""
    word: str = ""

    def shut(self) -> str | None:
        """Why solutions are not shown, in words; None where they are."""
        kept = data_dir() / WORD
        if self.word and kept.is_file() and hashed(kept.read_text("utf-8")) == self.word:
            return None
        if self.until and date.today() >= date.fromisoformat(self.until):
            return None
        ways = [f"until {self.until}"] if self.until else []
        if self.word:
            ways.append('until chapter.unlock("...") gets your teacher\'s word')
        return f"Solutions are locked {' or '.join(ways)}. What is unfinished goes on as ever."


def current_lock() -> Lock | None:
    """The lock of this installation; None where solutions are open."""
    path = source_dir("solutions") / LOCK
    return Lock(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def require_open() -> None:
    """Raises CourseError, saying what opens them, while solutions are locked."""
    lock = current_lock()
    if lock and (shut := lock.shut()):
        raise CourseError(shut)


def unlock(word: str) -> None:
    """Opens solutions with the teacher's word, for good. Raises CourseError for another word."""
    lock = current_lock()
    if lock is None:
        raise CourseError("Solutions are not locked here.")
    if hashed(word) != lock.word:
        raise CourseError("That is not the word that opens the solutions.")
    write_whole(data_dir() / WORD, word.strip().encode())


def hashed(word: str) -> str:
    return hashlib.sha256(f"circuits-course {word.strip()}".encode()).hexdigest()
