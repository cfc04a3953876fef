"""Confining a process before it runs somebody else's code.

What holds where: on Linux and macOS, limits of the kernel on processor time, size of files written
and processes; on Linux also on memory and, where the kernel allows it, no network at all.
Everywhere, Python itself refuses files outside the scratch folder to be written, processes to be
started and connections to be made. This stops accidents and mischief. It does not stop somebody who
attacks Python from inside (a crafted extension, say), nor files from being read, nor answers
that cheat the checker: for that, run the report in a container of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

MEMORY = 2_000_000_000  # bytes that answers may take beyond what is there before
FILE = 10_000_000  # bytes of any one file written
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000

_REFUSED = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.system",
    "os.kill", "os.killpg", "pty.spawn", "subprocess.Popen", "socket.", "ctypes.", "urllib.Request",
    "signal.pthread_kill", "webbrowser.open",
)  # fmt: skip
_PLACES = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr", "shutil.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(scratch: Path, seconds: int) -> None:
    """Confines this process, for good. seconds: of processor time; then the kernel ends it."""
    os.chdir(scratch)
    _silence()
    _limit(seconds)
    _leave_network()
    sys.addaudithook(_guard(str(scratch.resolve())))


def _silence() -> None:
    """Whatever is printed goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _limit(seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's clock and Python's own refusals remain
        return
    limits = {
        "RLIMIT_CPU": seconds,
        "RLIMIT_FSIZE": FILE,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_AS": _address_space() + MEMORY if _address_space() else None,
    }
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None or value is None:
            continue
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            continue


def _address_space() -> int:
    """Bytes of address space in use; 0 where that cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _leave_network() -> None:
    """A network of its own with nothing in it, on Linux; elsewhere Python's refusals must do."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0:
        libc.unshare(_NEW_USER | _NEW_NETWORK)


def _guard(scratch: str) -> Any:
    inside = scratch + os.sep

    def within(path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return True  # a descriptor of a file that is open already
        place = os.path.realpath(os.fsdecode(path))
        return place == scratch or place.startswith(inside) or place == os.devnull

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            _, mode, flags = args
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & _WRITING
            if writes and not within(args[0]):
                raise PermissionError("files outside the scratch folder cannot be written here")
        elif event.startswith(_PLACES):
            if not all(within(place) for place in args[:2] if isinstance(place, (str, bytes))):
                raise PermissionError("files outside the scratch folder cannot be changed here")
        elif event.startswith(_REFUSED):
            raise PermissionError(f"{event} is not allowed here")

    return hook
