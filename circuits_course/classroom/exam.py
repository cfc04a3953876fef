"""Grading the claims of an exam: each learner's first ones, so many and no more."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from circuits_course.errors import CourseError
from circuits_course.mystery.exam import read_claim, read_key
from circuits_course.mystery.grading import grade_on
from circuits_course.mystery.sealing import Mystery
from circuits_course.storage import write_whole

CLAIMS = ".claim.json"
PARTS = ("faithfulness", "completeness", "minimality", "roles", "edges", "algorithm")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would run


@dataclass
class Marked:
    """One claim: marks from 0 to 1 by part, or a note on why there are none."""

    learner: str
    file: str
    marks: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def points(self) -> float:
        """The mean over all parts, 0 to 1."""
        return sum(self.marks.values()) / len(PARTS)


def grade_exam(folder: Path, key: Path, most: int = 1) -> list[Marked]:
    """Marks for every claim in a folder and its subfolders, in the order of their names.

    A learner is the first subfolder, or what stands before ".claim.json". Of each learner the first
    `most` different claims are graded, over all calls: which those were is kept beside the key.
    Raises CourseError where there is no claim or no key.
    """
    mystery, ledger = read_key(key), _Ledger(key.with_suffix(".graded.json"), most)
    paths = sorted(folder.rglob(f"*{CLAIMS}"))
    if not paths:
        raise CourseError(f"There is no claim (a file NAME{CLAIMS}) in {folder}.")
    marked = [_marked(mystery, ledger, folder, path) for path in paths]
    ledger.keep()
    return marked


def _marked(mystery: Mystery, ledger: _Ledger, folder: Path, path: Path) -> Marked:
    place = path.relative_to(folder)
    learner = place.parts[0].removesuffix(CLAIMS)
    found = Marked(learner, str(place))
    try:
        claim = read_claim(path)
        if claim.mystery != mystery.name:
            raise CourseError(f"It is about {claim.mystery!r}, and the key is of {mystery.name!r}.")
        if ledger.admits(learner, path.read_bytes()):
            marks = grade_on(mystery, claim).marks
            found.marks = {part: marks[part] for part in PARTS}
        else:
            found.note = f"Not graded: of {learner} {ledger.most} had been graded before."
    except CourseError as error:
        found.note = str(error)
    return found


class _Ledger:
    """Which claims of whom have been graded: a second look at the marks would be an oracle."""

    def __init__(self, path: Path, most: int) -> None:
        self.path, self.most = path, most
        try:
            self.graded: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.graded = {}
        except ValueError as error:
            raise CourseError(f"{path} is damaged: delete it to begin anew.") from error

    def admits(self, learner: str, content: bytes) -> bool:
        """Whether a claim may be graded; the same one may as often as you like."""
        before = self.graded.setdefault(learner, [])
        claim = hashlib.sha256(content).hexdigest()
        if claim in before:
            return True
        if len(before) >= self.most:
            return False
        before.append(claim)
        return True

    def keep(self) -> None:
        write_whole(self.path, (json.dumps(self.graded, indent=1) + "\n").encode())


def as_csv(marked: Iterable[Marked]) -> str:
    """A table for a spreadsheet: a row for each claim, marks from 0 to 1."""
    lines = io.StringIO()
    table = csv.writer(lines)
    table.writerow(["learner", "file", *PARTS, "points", "note"])
    for row in marked:
        marks = [f"{row.marks[part]:g}" if row.marks else "" for part in PARTS]
        points = f"{row.points:.3f}" if row.marks else ""
        table.writerow([_plain(row.learner), _plain(row.file), *marks, points, _plain(row.note)])
    return lines.getvalue()


def _plain(text: str) -> str:
    """Text that a spreadsheet shows, whatever it begins with and whatever a disk called it."""
    shown = text.encode(errors="replace").decode()
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
