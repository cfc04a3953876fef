"""Who a file belongs to, by its place and name, as learners and learning platforms write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuits_course.checks.chapters import CHAPTERS
from circuits_course.errors import CourseError

_PLATFORMS = (
    re.compile(r"(?P<name>.+?)_\d+_assignsubmission_\w+_?.*"),  # Moodle
    re.compile(r"\w*?_(?P<name>[^_]+)_attempt_\d{4}-[\d-]+.*"),  # Blackboard
    re.compile(r"(?P<name>[^\W_][^_]*?)(?:_LATE)?_\d{2,}_\d{3,}_.+", re.IGNORECASE),  # Canvas
)
_COPY = re.compile(
    r"^(?:(?:copy of|kopie von|copie de|copia de)\s+)+|\s*\(\d+\)$|[\s_-]*copy\s*\d*$"
    r"|\s*- kopie$",
    re.IGNORECASE,
)
_GENERAL = re.compile(
    r"(?:all[ _-])?(?:submissions?|downloads?|notebooks?|homework|assignments?|class|files?)"
    r"(?:[ _-]?\d+)?",
    re.IGNORECASE,
)
_CHAPTERS = re.compile(
    "|".join(re.sub("_", "[ _-]", chapter) for chapter in CHAPTERS), re.IGNORECASE
)
_SUFFIX = re.compile(
    r"(?:\.(?:ipynb|py|sqlite|zip)(?:\.\w{1,4})?|(?:\.tar)?\.(?:rar|7z|tar|t?gz|bz2|xz))$",
    re.IGNORECASE,
)
_NAME_COLUMNS = ("name", "student", "learner", "full name", "student name")


def learner_of(parts: Sequence[str]) -> str:
    """The learner, by a file's folders and name, outermost first.

    The first part that holds a person's name counts; a folder called "submissions" or as a chapter
    holds none. Where no part does, it is the file's name.
    """
    for number, part in enumerate(parts):
        person = _person(part, is_file=number == len(parts) - 1 or bool(_SUFFIX.search(part)))
        if person:
            return person
    return _SUFFIX.sub("", parts[-1]).strip() or parts[-1]


def is_named(parts: Sequence[str]) -> bool:
    """Whether any part holds a person's name."""
    return any(_person(p, is_file=bool(_SUFFIX.search(p))) for p in parts)


def _person(part: str, is_file: bool) -> str:
    name = _SUFFIX.sub("", part) if is_file else part
    for platform in _PLATFORMS:
        found = platform.fullmatch(name)
        if found:
            return found["name"].strip()
    if _GENERAL.fullmatch(name.strip()):
        return ""
    if not is_file:
        return "" if _CHAPTERS.fullmatch(name) else name
    before = None
    while before != name:
        before, name = name, _COPY.sub("", name).strip()
    name, count = _CHAPTERS.subn("", name)
    name = name.strip(" _-.") if count else name
    return "" if not name or (count and re.fullmatch(r"[\W\d_]+", name)) else _not_generic(name)


def _not_generic(name: str) -> str:
    return "" if name.casefold() in ("progress", "notebook", "untitled", "solution") else name


# --- roster -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Roster:
    """The people of a class. people: name -> everything that the file says of them."""

    people: dict[str, tuple[str, ...]]

    def find(self, learner: str, file: str = "") -> str | None:
        """Whose name a learner's is, in whatever order; None where that is nobody's or unclear."""
        for match in (_is_same, _is_within):
            found = [
                name
                for name, aliases in self.people.items()
                if any(match(alias, learner) for alias in aliases)
            ]
            if len(found) == 1:
                return found[0]
        found = [name for name, aliases in self.people.items() if _is_within(aliases[0], file)]
        return found[0] if len(found) == 1 else None


def read_roster(path: Path) -> Roster:
    """A list of names, one a line, or a CSV with a column for names and others (login, e-mail).

    Two people of one name are told apart by what else stands on their lines. Raises CourseError
    where it cannot be read, names nobody, or two people cannot be told apart.
    """
    try:
        text = _decoded(path.read_bytes())
        delimiter = _delimiter(text)
        lines = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows = [row for row in lines if any(map(str.strip, row))]
    except (OSError, csv.Error) as error:
        raise CourseError(f"The roster {path} cannot be read ({error}).") from None
    people = list(_people(rows))
    found = [p for i, p in enumerate(people) if len(p[1]) == 1 or p not in people[:i]]
    if not found:
        raise CourseError(f"The roster {path} names nobody.")
    _require_different(path, found)
    names = Counter(name for name, _ in found)
    return Roster({_full(name, aliases, names): aliases for name, aliases in found})


def _decoded(content: bytes) -> str:
    """In UTF-8, or as spreadsheets write it: UTF-16 or the encoding of western Windows."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _delimiter(text: str) -> str:
    """What parts the first line that has something on it; a comma may stand within names."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return next((sign for sign in ("\t", ";", ",") if sign in first), ",")


def _people(rows: list[list[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    head = [cell.strip().casefold() for cell in rows[0]] if rows else []
    two = [head.index(c) for c in ("first name", "last name", "surname") if c in head]
    column = next((head.index(c) for c in _NAME_COLUMNS if c in head), None)
    if column is None and len(two) != 2 and all(map(_is_last_and_first, rows)):
        rows = [[f"{first} {last}"] for last, first in rows]
    rows = [[cell.strip() for cell in row] for row in rows]
    for row in rows[1:] if column is not None or len(two) == 2 else rows:
        if len(two) == 2:
            name = " ".join(row[i] for i in two if i < len(row))
        else:
            name = row[column or 0] if (column or 0) < len(row) else ""
        if name:
            others = [c for c in row if c and c != name and not c.isdigit()]
            yield name, (name, *others, *(c.split("@")[0] for c in others if "@" in c))


def _is_last_and_first(row: list[str]) -> bool:
    """A line as people write it, "Doe, Jane": a spreadsheet puts no space after its comma."""
    return len(row) == 2 and row[1].startswith(" ") and not re.search(r"[\d@]", row[1])


def _require_different(path: Path, found: list[tuple[str, tuple[str, ...]]]) -> None:
    """Nobody without a login or address shares a name; nobody shares a login or address."""
    alone = {aliases[0] for _, aliases in found if len(aliases) == 1}
    same = Counter(name for name, _ in found if name in alone)
    shared = Counter(alias for _, aliases in found for alias in {*aliases[1:]}
                     if "@" in alias or re.search(r"\d", alias))  # fmt: skip
    for what, count in (same + shared).items():
        if count > 1:
            raise CourseError(
                f"The roster {path} has {what!r} {count} times; give each line a login or e-mail "
                "of its own."
            )


def _full(name: str, aliases: tuple[str, ...], names: Counter[str]) -> str:
    return name if names[name] == 1 else f"{name} ({aliases[1]})"


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))


def _is_same(alias: str, learner: str) -> bool:
    """The same words in any order, or run together as Canvas does: "Jane Doe" is "doejane"."""
    ours, theirs = _words(alias), _words(learner)
    if not ours or not theirs:
        return False
    together = {"".join(ours), "".join(reversed(ours)), "".join([ours[-1], *ours[:-1]])}
    return sorted(ours) == sorted(theirs) or "".join(theirs) in together


def _is_within(alias: str, text: str) -> bool:
    ours = _words(alias)
    return len("".join(ours)) > 3 and set(ours) <= set(_words(text))
