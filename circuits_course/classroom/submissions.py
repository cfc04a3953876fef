"""What learners hand in: which files there are, and whose they are. Nothing is run here."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from circuits_course.classroom.names import Roster, learner_of
from circuits_course.errors import CourseError

LARGEST = 20_000_000  # bytes of a file that is read at all
MOST_IN_ZIP = 10_000  # files
SUFFIXES = (".ipynb", ".py", ".sqlite")
_LEFT_OUT = ("__MACOSX", ".ipynb_checkpoints", "__pycache__")


@dataclass(frozen=True)
class Submission:
    """One file. learner: who handed it in. file: where it lies, as text that can be shown.

    inside: its name in the archive that `path` is, if it is one.
    """

    path: Path
    learner: str
    file: str
    inside: str | None = None
    trouble: str | None = None

    @property
    def name(self) -> str:
        return readable(PurePosixPath(self.inside).name if self.inside else self.path.name)

    def read(self) -> bytes:
        """Its content. Raises CourseError, in one line, where that cannot be had."""
        if self.trouble:
            raise CourseError(self.trouble)
        try:
            return self._content()
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise CourseError(f"the file cannot be read ({readable(str(error))})") from None

    def _content(self) -> bytes:
        if self.inside is None:
            with self.path.open("rb") as file:
                content = file.read(LARGEST + 1)
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.inside) as file:
                content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise CourseError(f"the file is larger than {LARGEST // 1_000_000} MB")
        return content


def readable(name: str) -> str:
    """A file's name as text; one in another encoding than UTF-8 is taken for Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("latin-1")
    return "".join(c if c.isprintable() else "�" for c in unicodedata.normalize("NFC", name))


def find_submissions(folder: Path, roster: Roster | None = None) -> list[Submission]:
    """The notebooks, Python and progress files in a folder, its subfolders and zips, sorted.

    roster: the people of the class, to one of whom each file is assigned where its name says so.
    Raises CourseError where there is no folder or nothing in it.
    """
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}.")
    found = [s for path in sorted(folder.rglob("*")) for s in _in_file(path, folder)]
    if not found:
        raise CourseError(
            f"{folder} holds no notebooks (.ipynb), no Python files (.py), no zips of them and no "
            "progress files (.sqlite)."
        )
    return [_assigned(submission, roster) for submission in found] if roster else found


def _assigned(submission: Submission, roster: Roster) -> Submission:
    name = roster.find(submission.learner, submission.file)
    return replace(submission, learner=name) if name else submission


def _in_file(path: Path, folder: Path) -> Iterator[Submission]:
    place = path.relative_to(folder)
    suffix = path.suffix.lower()
    if set(place.parts) & set(_LEFT_OUT) or not path.is_file():
        return
    parts = [readable(part) for part in place.parts]
    if suffix in SUFFIXES:
        yield Submission(path, learner_of(parts), "/".join(parts))
    elif suffix == ".zip":
        yield from _in_zip(path, parts)


def _in_zip(path: Path, parts: list[str]) -> Iterator[Submission]:
    file = "/".join(parts)
    try:
        with zipfile.ZipFile(path) as archive:
            inside = sorted(n for n in archive.namelist() if _is_wanted(n))
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        yield Submission(path, learner_of(parts), file, trouble="the file is no zip, or is damaged")
        return
    if not inside or len(inside) > MOST_IN_ZIP:
        what = f"more than {MOST_IN_ZIP}" if inside else "no notebook, Python or progress"
        yield Submission(path, learner_of(parts), file, trouble=f"the zip holds {what} files")
    for name in inside[:MOST_IN_ZIP]:
        inner = [readable(part) for part in PurePosixPath(name).parts]
        place, learner = f"{file}/{'/'.join(inner)}", learner_of([*parts, *inner])
        nested = name.lower().endswith(".zip")
        trouble = "a zip within a zip is not read: unpack the outer one" if nested else None
        yield Submission(path, learner, place, inside=name, trouble=trouble)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in (*SUFFIXES, ".zip") and not set(path.parts) & set(_LEFT_OUT)
