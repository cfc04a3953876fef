"""Inside the sandbox: the process that learners' processes are copies of.

It has imported what all need before any learner's code is there, so that a notebook costs no start.
After each it is as clean as before (nobody else alive, scratch empty, its own limits unchanged),
or it ends and a new sandbox takes its place.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from circuits_course.checking import limits
from circuits_course.classroom.sandbox import how_it_ended
from circuits_course.classroom.worker import rehearse, serve

DYING = 50  # hundredths of a second that a process may take to end, once nobody hears it


def main(fork: bool) -> None:
    """Serves one learner's process after another (fork), or is the only one."""
    limits.die_with_parent()
    spare = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    if fork:
        os.close(spare[1])
        _Server(socket.socket(fileno=spare[0])).run()
    else:
        _prepare()
        serve(os.fdopen(spare[0], "rb"), os.fdopen(spare[1], "wb"))


def _prepare() -> None:
    torch.set_num_threads(1)
    import_module("transformer_lens")


class _Server:
    """Forks a process for each notebook, and is as clean after it as before, or ends itself."""

    def __init__(self, control: socket.socket) -> None:
        self._control, self._child = control, 0
        self._alone = os.getpid() < 100 and _others() == {1}

    def run(self) -> None:
        limits.hide_memory()
        _prepare()
        before = _limits_now()
        self._control.send(b"ready")
        while True:
            order, handles, _, _ = socket.recv_fds(self._control, 10_000, 1)
            if not order:
                return
            message = json.loads(order)
            if "stop" in message:
                ended = self._stop(gone=bool(message["stop"]))
                if not self._is_clean(before):
                    return
                self._control.send(json.dumps({"ended": ended}).encode())
            else:
                self._begin(message["chapter"], handles[0])

    def _begin(self, chapter: str, handle: int) -> None:
        with suppress(Exception):  # it only saves time
            rehearse(chapter)
        self._child = os.fork()
        if self._child:
            os.close(handle)
            return
        self._control.close()
        os.setsid()
        limits.die_with_parent()
        with socket.socket(fileno=handle) as mine:
            stream: Any = mine.makefile("rwb")
        try:
            serve(stream, stream)
        finally:
            os._exit(0)

    def _stop(self, gone: bool) -> str:
        """Ends the learner's process; how it ended by itself, "" where it had to be ended."""
        pid, status = os.waitpid(self._child, os.WNOHANG)
        for _ in range(DYING if gone else 0):  # it has let go of its stream and is about to end
            if pid:
                break
            time.sleep(0.01)
            pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0:
            os.kill(self._child, 9)
            os.waitpid(self._child, 0)
            return ""
        return how_it_ended(os.waitstatus_to_exitcode(status))

    def _is_clean(self, before: Any) -> bool:
        if self._alone and _others() != {1}:
            return False
        for folder in ("/tmp", "/dev/shm") if self._alone else ():
            _empty(Path(folder))
            if any(Path(folder).iterdir()):
                return False
        return _limits_now() == before


def _others() -> set[int]:
    """Every process that can be seen, but this."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}


def _limits_now() -> Any:
    import resource

    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    given = [resource.getrlimit(getattr(resource, name)) for name in names]
    return given, os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)


def _empty(folder: Path) -> None:
    for root, folders, files in os.walk(folder, topdown=False):
        os.chmod(root, 0o700)
        for name in files + [f for f in folders if Path(root, f).is_symlink()]:
            with suppress(OSError):
                os.unlink(Path(root, name))
        for name in folders:
            with suppress(OSError):
                os.rmdir(Path(root, name))
