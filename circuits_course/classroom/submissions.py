"""What learners hand in: which files there are, and whose they are. Nothing is run here."""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from circuits_course.classroom.names import Roster, learner_of
from circuits_course.errors import CourseError

LARGEST = 60_000_000  # bytes of a file that is read at all
MOST_IN_ZIP = 10_000  # files
MOST_ZIPS_IN_ZIP = 1_000
MOST_OF_ONE = 100  # files of a learner, each of which may take five minutes
DEEPEST_ZIP = 2  # Moodle packs the zips that learners hand in
SUFFIXES = (".ipynb", ".py", ".sqlite")
_LEFT_OUT = ("__MACOSX", ".ipynb_checkpoints", "__pycache__")
_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")
_JOINERS = "\u200c\u200d"  # within words of Persian, within emoji
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError,
               EOFError, ValueError)  # fmt: skip
_OUTSIDE = "the link leads out of the folder, and is not followed: put the file itself there"
_NOT_READ = "files of this kind are not read: hand in .ipynb, .py, .zip or progress.sqlite"
_EMPTY_FOLDER = "this is a folder, and holds nothing that is read"


@dataclass(frozen=True)
class Submission:
    """One file. learner: who handed it in. file: where it lies, as text that can be shown.

    inside: its name in the archive that `path` is, if it is one; two names in an archive within it.
    """

    path: Path
    learner: str
    file: str
    inside: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def name(self) -> str:
        return readable(PurePosixPath(self.inside[-1]).name if self.inside else self.path.name)

    def read(self) -> bytes:
        """Its content. Raises CourseError, in one line, where that cannot be had."""
        if self.trouble:
            raise CourseError(self.trouble)
        try:
            with self.path.open("rb") as file:
                return _unpacked(file, self.inside)
        except _UNREADABLE as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CourseError(f"the file cannot be read ({readable(reason)})") from None


def _unpacked(file: IO[bytes], inside: tuple[str, ...]) -> bytes:
    """A file's content, or that of a file in the archive that it is."""
    if inside:
        with zipfile.ZipFile(file) as archive, archive.open(inside[0]) as inner:
            content = _unpacked(inner, ())
        return _unpacked(io.BytesIO(content), inside[1:]) if inside[1:] else content
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise CourseError(
            f"the file is larger than {LARGEST // 1_000_000} MB; of a notebook clear the outputs "
            "(Edit, Clear Outputs of All Cells) and save it again"
        )
    return content


def readable(name: str) -> str:
    """A file's name as text; one in another encoding than UTF-8 is taken for Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("latin-1")
    shown = (c if c.isprintable() or c in _JOINERS else "�" for c in name)
    return unicodedata.normalize("NFC", "".join(shown))


def find_submissions(folder: Path, roster: Roster | None = None) -> list[Submission]:
    """The notebooks, Python and progress files in a folder, its subfolders and zips, sorted.

    What may have been handed in and cannot be read is there with its trouble. roster: the people of
    the class, to one of whom each file is assigned where its name says so. Raises CourseError where
    there is no folder or nothing in it.
    """
    if not folder.is_dir():
        what = "is a file; name the folder that it lies in" if folder.exists() else "does not exist"
        raise CourseError(f"There is no folder {folder}: it {what}.")
    found = [s for path in _walk(folder) for s in _in_file(path, folder)]
    if not found:
        raise CourseError(
            f"{folder} holds no notebooks (.ipynb), no Python files (.py), no zips of them and no "
            "progress files (.sqlite)."
        )
    if roster:
        found = [_assigned(submission, roster) for submission in found]
    read = {submission.learner for submission in found if submission.trouble != _NOT_READ}
    return _limited([s for s in found if s.trouble != _NOT_READ or s.learner not in read])


def _limited(found: list[Submission]) -> list[Submission]:
    """Not more than so many of one learner; the one after those says so, and the rest is gone."""
    counts: Counter[str] = Counter()
    kept = []
    for submission in found:
        counts[submission.learner] += 1
        if counts[submission.learner] <= MOST_OF_ONE:
            kept.append(submission)
        elif counts[submission.learner] == MOST_OF_ONE + 1:
            trouble = f"more than {MOST_OF_ONE} files of one learner: this and others are left out"
            kept.append(replace(submission, trouble=trouble))
    return kept


def _assigned(submission: Submission, roster: Roster) -> Submission:
    name = roster.find(submission.learner, submission.file)
    return replace(submission, learner=name) if name else submission


def _walk(folder: Path) -> list[Path]:
    """Every file, link and folder that may be one learner's, also those that cannot be read."""
    found: list[Path] = []

    def note(error: OSError) -> None:
        if Path(os.fsdecode(error.filename)) == folder:
            raise CourseError(f"{folder} cannot be read ({error.strerror}).")
        found.append(Path(os.fsdecode(error.filename)))

    for root, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [Path(root, name) for name in files]
        found += [Path(root, f) for f in folders if Path(root, f).is_symlink() or _is_bare(root, f)]
    return sorted(found)


def _is_bare(root: str, name: str) -> bool:
    """Whether a folder is named like a file and holds nothing."""
    with suppress(OSError):
        return name.lower().endswith(SUFFIXES) and not any(Path(root, name).iterdir())
    return False


def _in_file(path: Path, folder: Path) -> Iterator[Submission]:
    place = path.relative_to(folder)
    suffix = path.suffix.lower()
    parts = [readable(part) for part in place.parts]
    trouble = _trouble(path, folder)
    if trouble:
        yield Submission(path, learner_of(parts), "/".join(parts), trouble=trouble)
    elif suffix in SUFFIXES:
        yield Submission(path, learner_of(parts), "/".join(parts))
    elif suffix == ".zip":
        yield from _in_zip(path, parts)


def _trouble(path: Path, folder: Path) -> str | None:
    """What keeps a file from being read that may have been handed in; None for all others."""
    wanted = path.suffix.lower() in (*SUFFIXES, ".zip")
    if path.is_symlink() and (wanted or path.is_dir()):
        if not os.path.exists(path):
            return "the link leads nowhere"
        if not path.resolve().is_relative_to(folder.resolve()):
            return _OUTSIDE
    if path.is_dir():
        if path.is_symlink():
            return None  # to a folder that is read where it lies
        return _EMPTY_FOLDER if os.access(path, os.R_OK | os.X_OK) else _denied(path)
    if wanted:
        return None if path.is_file() else "this is no ordinary file"
    named = path.stem.lower().endswith(SUFFIXES) or path.suffix.lower() in _ARCHIVES
    return _NOT_READ if named and not path.name.startswith(".") else None


def _denied(path: Path) -> str:
    try:
        os.listdir(path)
    except OSError as error:
        return f"the folder cannot be read ({error.strerror})"
    return "the folder cannot be read"


def _in_zip(path: Path, parts: list[str], outer: str = "") -> Iterator[Submission]:
    """What a zip holds, or the zip named `outer` within it."""
    file = "/".join(parts)
    above = (outer,) if outer else ()
    try:
        source: Path | IO[bytes] = path
        if outer:
            source = io.BytesIO(Submission(path, "", file, above).read())
        with zipfile.ZipFile(source) as archive:
            inside = sorted(n for n in archive.namelist() if _is_wanted(n))
    except CourseError as error:
        yield Submission(path, learner_of(parts), file, trouble=str(error))
        return
    except _UNREADABLE:
        yield Submission(path, learner_of(parts), file, trouble="the file is no zip, or is damaged")
        return
    if not inside or len(inside) > MOST_IN_ZIP:
        what = f"more than {MOST_IN_ZIP}" if inside else "no notebook, Python or progress"
        yield Submission(path, learner_of(parts), file, trouble=f"the zip holds {what} files")
    zips = 0
    for name in inside[:MOST_IN_ZIP]:
        inner = [readable(part) for part in PurePosixPath(name.replace("\\", "/")).parts]
        within = [*parts, *inner]
        if not name.lower().endswith(".zip"):
            yield Submission(path, learner_of(within), "/".join(within), (*above, name))
        elif len(above) + 1 < DEEPEST_ZIP and (zips := zips + 1) <= MOST_ZIPS_IN_ZIP:
            yield from _in_zip(path, within, name)
        else:
            trouble = "a zip within a zip within a zip is not read: unpack the outer one"
            yield Submission(path, learner_of(within), "/".join(within), trouble=trouble)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.suffix.lower() in (*SUFFIXES, ".zip") and not set(path.parts) & set(_LEFT_OUT)
