"""A learner's wheel, in which solutions are locked until the teacher's date or word."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from circuits_course.checks import SLOT
from circuits_course.checks.lock import LOCK, SUFFIX, Lock, hashed
from circuits_course.errors import CourseError
from circuits_course.storage import masked

BUILD_TAG = "1locked"
_SOLUTIONS, _EXERCISES = "circuits_course/_solutions/", "circuits_course/_exercises/"


def make_lock(until: str = "", word: str = "") -> Lock:
    """A lock that a date (2026-12-01) or a word opens. Raises CourseError where neither is given or
    the date is none."""
    if not (until or word.strip()):
        raise CourseError("A lock is opened by a date or a word; give one, or both.")
    try:
        opens = date.fromisoformat(until).isoformat() if until else ""
    except ValueError as error:
        raise CourseError(f"{until!r} is no date; write it as 2026-12-01.") from error
    return Lock(opens, hashed(word) if word.strip() else "")


def lock_wheel(wheel: Path, folder: Path, lock: Lock) -> Path:
    """Writes a learner's wheel of the course, with a build tag in its name, and returns its path.

    Reference answers are masked, solved notebooks and the cells of the sources left out.
    """
    name, version, *rest = wheel.name.split("-")
    path = folder / "-".join([name, version, BUILD_TAG, *rest])
    record: list[tuple[str, str, int | str]] = []
    with ZipFile(wheel) as whole, ZipFile(path, "w", ZIP_DEFLATED) as locked:
        entries = ((entry, whole.read(entry)) for entry in whole.namelist())
        kept = [found for entry, content in entries if (found := _locked(entry, content))]
        kept.append((_SOLUTIONS + LOCK, json.dumps(asdict(lock)).encode()))
        for entry, content in kept:
            locked.writestr(entry, content)
            record.append((entry, _digest(content), len(content)))
        place = next(e for e in whole.namelist() if e.endswith(".dist-info/RECORD"))
        locked.writestr(place, _table([*record, (place, "", "")]))
    return path


def _locked(entry: str, content: bytes) -> tuple[str, bytes] | None:
    """What becomes of a file of the wheel: its new name and content, or nothing."""
    if entry.endswith(".dist-info/RECORD"):
        return None
    if entry.startswith(_SOLUTIONS):
        return (entry + SUFFIX, masked(content)) if entry.endswith(".py") else None
    if entry.startswith(_EXERCISES):  # read for the order of exercises alone
        slots = SLOT.finditer(content.decode("utf-8"))
        return entry, "".join(f"{slot.group(0)}\n" for slot in slots).encode()
    return entry, content


def _digest(content: bytes) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={found.decode()}"


def _table(rows: list[tuple[str, str, int | str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()
