"""Places on the disk; files and folders written whole or not at all, checked by hash when used."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from circuits_course.errors import CourseError, UnknownName

APP = "circuits-course"
PACKAGE = Path(__file__).resolve().parent
SOURCE_KINDS = ("exercises", "notebooks", "solutions")


def at_home(path: str | Path, who: str = "You named") -> Path:
    """The path with "~" and "~user" as the folders that they stand for.

    Raises CourseError, beginning with `who`, where nobody has such a home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise CourseError(f"{who} {path}, and nobody has such a home; name a folder.") from error


def data_dir() -> Path:
    """Folder of the learner's progress; `CIRCUITS_COURSE_HOME` overrides it. Not created here."""
    override = os.environ.get("CIRCUITS_COURSE_HOME")
    if override:
        return at_home(override, "CIRCUITS_COURSE_HOME names")
    import platformdirs

    return platformdirs.user_data_path(APP, appauthor=False)


def cache_dir() -> Path:
    """Folder of converted models; `CIRCUITS_COURSE_CACHE` overrides it. Not created here."""
    override = os.environ.get("CIRCUITS_COURSE_CACHE")
    if override:
        return at_home(override, "CIRCUITS_COURSE_CACHE names")
    import platformdirs

    return platformdirs.user_cache_path(APP, appauthor=False)


def source_dir(kind: str) -> Path:
    """Folder of the exercise sources, reference answers or notebooks.

    A wheel carries them inside the package; in a checkout they stand beside it.
    """
    if kind not in SOURCE_KINDS:
        raise UnknownName("kind of source", kind, SOURCE_KINDS)
    packaged = PACKAGE / f"_{kind}"
    return packaged if packaged.is_dir() else PACKAGE.parent / kind


# --- written whole, checked by hash ---

MANIFEST = "manifest.json"
CHUNK = 1 << 20


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a neighbour and rename it: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def masked(content: bytes) -> bytes:
    """Combined with a fixed stream of bytes, so that a reader or a search sees nothing in it.

    Doing it twice gives the content back. An envelope, no lock.
    """
    stream, block = bytearray(), b"a courtesy, no lock"
    while len(stream) < len(content):
        block = hashlib.sha256(block).digest()
        stream += block
    return bytes(a ^ b for a, b in zip(content, stream, strict=False))


def seal(folder: Path) -> None:
    """Record size and hash of every file of a finished folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    write_whole(folder / MANIFEST, json.dumps({"files": files}, indent=1).encode())


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed folder, in words; None where every file is as it was written."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        problems = (_file_damage(folder / name, **entry) for name, entry in files.items())
        return next((problem for problem in problems if problem), None)
    except PermissionError as error:
        return f"{Path(error.filename or folder).name} may not be read by you"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is missing or unreadable"


def _file_damage(path: Path, bytes: int, sha256: str) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != bytes:
        return f"{path.name} has {path.stat().st_size} bytes instead of {bytes}"
    return None if file_hash(path) == sha256 else f"{path.name} is not what was written"


def fallback_dir() -> Path:
    """Where models are kept when the cache folder cannot be written."""
    user = getattr(os, "getuid", lambda: "user")()
    return Path(tempfile.gettempdir()) / f"{APP}-{user}" / "models"


def own_fallback() -> Path | None:
    """That folder if it is there and nobody else could have put anything into it.

    Anybody may make a folder of that name among the temporary ones, and fill it.
    """
    folder = fallback_dir()
    return folder if folder.is_dir() and all(map(_is_ours, (folder.parent, folder))) else None


def _is_ours(folder: Path) -> bool:
    """Whether a folder is this user's, no link, and can be written by nobody else."""
    if not hasattr(os, "getuid"):  # Windows: temporary folders are each user's own
        return True
    found = folder.lstat()
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not others


def _fallback_problem() -> str | None:
    """Why the temporary folder cannot be used; it is made, for this user alone, if need be."""
    folder = fallback_dir()
    try:
        for place in (folder.parent, folder):
            place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    if own_fallback() is None:
        return f"{folder.parent} belongs to somebody else, or others may write there"
    return _write_problem(folder)


def _write_problem(folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    return _write_problem(folder) is None


def require_writable(folder: Path) -> None:
    """Makes a folder to write to. Raises CourseError where there can be none."""
    if problem := _write_problem(folder):
        raise CourseError(f"Nothing can be written to {folder} ({problem}); give another folder.")


def require_file_place(path: Path) -> None:
    """Makes a file's folder. Raises CourseError where no file of that name can be written."""
    if path.is_dir():
        raise CourseError(f"{path} is a folder; name a file in it, such as {path / 'report.html'}.")
    require_writable(path.parent)


def writable_dir(say: Callable[[str], None]) -> Path:
    """The cache's folder of models, or a temporary one where that cannot be written."""
    folder = cache_dir() / "models"
    problem = _write_problem(folder)
    if problem is None:
        return folder
    if (second := _fallback_problem()) is None:
        say(
            f"{folder} cannot be written ({problem}); keeping the model in {fallback_dir()}, which "
            "may not outlast a restart. CIRCUITS_COURSE_CACHE names another folder."
        )
        return fallback_dir()
    raise CourseError(
        f"{folder} cannot be written ({problem}), nor can {fallback_dir()} ({second}); set "
        "CIRCUITS_COURSE_CACHE to a folder that can."
    )


def find_kept(name: str) -> Path | None:
    """The sealed folder of that name, unharmed, if there is one; reads every byte of it."""
    folders = [cache_dir() / "models" / name, *(own / name for own in [own_fallback()] if own)]
    return next((f for f in folders if f.is_dir() and damage(f) is None), None)


def keep(
    name: str, build: Callable[[Path], None], say: Callable[[str], None], needs: int = 0
) -> Path:
    """The sealed folder of that name; built now if it is not there or not as it was written.

    build(folder) fills an empty folder, which takes its name only when complete and sealed. `needs`
    is the free space it wants, in bytes. One process builds while others wait for it.
    """
    if found := find_kept(name):
        return found
    root = writable_dir(say)
    with _locked(root / f".{name}.lock", say):
        if found := find_kept(name):  # somebody else was faster
            return found
        folder = root / name
        if folder.exists():
            say(f"{name}: {damage(folder)}; fetching it again.")
        _discard_leftovers(root, name)
        _require_space(root, needs)
        with _partial(root, name) as partial:
            build(partial)
            seal(partial)
            _put_in_place(partial, folder)
        return folder


def discard(folder: Path) -> None:
    """Removes a kept folder, where this may be done: at once by its name, then what it holds."""
    leftover = Path(
        tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial")
    )
    with suppress(OSError):
        folder.rename(leftover / folder.name)
    shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock that the system releases when its holder dies, however it dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        say(f"Another process is making {path.stem.lstrip('.')} ready; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _discard_leftovers(root: Path, name: str) -> None:
    """What a killed process left; nobody else is writing, for we hold the lock."""
    for leftover in root.glob(f".{name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)


def _require_space(root: Path, needs: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needs:
        raise CourseError(
            f"{root} has {free / 1e9:.1f} GB free and {needs / 1e9:.1f} GB are needed; make room "
            "or set CIRCUITS_COURSE_CACHE to a folder on another disk."
        )


@contextmanager
def _partial(root: Path, name: str) -> Iterator[Path]:
    partial = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}.", suffix=".partial"))
    try:
        yield partial
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CourseError(
            f"The disk that holds {root} is full; make room or set CIRCUITS_COURSE_CACHE to a "
            "folder on another disk."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, folder: Path) -> None:
    if folder.exists():
        folder.rename(partial.with_name(f"{partial.name}.old.partial"))
    partial.chmod(0o755)  # readable for all who share the cache, whoever wrote the files
    for path in partial.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)
    partial.rename(folder)
    _discard_leftovers(folder.parent, folder.name)
