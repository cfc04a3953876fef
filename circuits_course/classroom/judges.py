"""Judges: processes that say what is to be said of a file, kept from one file to the next."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import Any

import torch

from circuits_course.classroom.judge import NOTEBOOK_SECONDS
from circuits_course.classroom.sandbox import STARTING
from circuits_course.classroom.wire import Listener, send
from circuits_course.storage import PACKAGE

SPARE_SECONDS = 60.0  # for the judge beyond what a notebook may take
_START = "from circuits_course.classroom.judge import main; main()"

Job = dict[str, Any]
"""A file: name, content in bytes, program of the sandbox, seconds an exercise may take, topic (its
chapter, as far as its name says that); or its trouble, where it could not be read."""


class Judge:
    """A process that judges one submission after another, and is replaced when it is lost."""

    def __init__(self) -> None:
        self._home = tempfile.mkdtemp(prefix="circuits-course-judge-")
        # Not in the folder of the class: a file there could pass for a module.
        paths = [PACKAGE.parent, *map(os.path.abspath, filter(None, _python_path()))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        environment.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TMPDIR=self._home)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
            env=environment,
        )
        self._said = Listener(self._process.stdout)  # type: ignore[arg-type]
        self._is_ready = False
        self.topic = ""  # of the file before

    def examine(self, job: Job) -> dict[str, Any]:
        """What is to be said of a file. Raises TimeoutError or EOFError where the judge is lost."""
        if not self._is_ready:
            self._said.next(STARTING)
            self._is_ready = True
        content = job["content"]
        tensors = None
        if content:
            tensors = {"content": torch.frombuffer(bytearray(content), dtype=torch.uint8)}
        message = {name: job[name] for name in ("name", "program", "seconds")}
        send(self._process.stdin, message, tensors)  # type: ignore[arg-type]
        return self._said.next(NOTEBOOK_SECONDS + SPARE_SECONDS)[0]

    def kill(self) -> None:
        """Ends it at once, whatever it is at."""
        self._process.kill()

    def close(self) -> None:
        """Ends it, and with it the sandbox that it keeps."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(3)
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


def _python_path() -> list[str]:
    return os.environ.get("PYTHONPATH", "").split(os.pathsep)


_IDLE: list[Judge] = []
_BUSY: set[Judge] = set()
_LOCK = threading.Lock()


def examine(job: Job) -> dict[str, Any]:
    """What a free judge says of a file, as `Report.as_json`; begins one where none is free."""
    if "trouble" in job:
        return {"trouble": [job["trouble"]]}
    judge = None
    try:
        judge = _free_judge(job.get("topic", ""))
        found = judge.examine(job)
    except (TimeoutError, EOFError, OSError, ValueError) as error:
        if judge is not None:
            _BUSY.discard(judge)
            judge.close()
        why = "took too long to be judged" if isinstance(error, TimeoutError) else "cannot be read"
        return {"trouble": [f"the file {why}"]}
    with _LOCK:
        _BUSY.discard(judge)
        _IDLE.append(judge)
    return found


def _free_judge(topic: str) -> Judge:
    """One that is prepared for the chapter, else any; a new one where all are busy."""
    with _LOCK:
        idle = sorted(_IDLE, key=lambda judge: judge.topic == topic)
        judge = idle[-1] if idle else Judge()
        if idle:
            _IDLE.remove(judge)
        _BUSY.add(judge)
    judge.topic = topic
    return judge


def interrupt_judges() -> None:
    """Ends the judges that are at work: whoever waits for one waits no longer."""
    with _LOCK:
        for judge in _BUSY:
            judge.kill()


@atexit.register
def close_judges() -> None:
    """Ends the judges that are kept for the next file."""
    with _LOCK:
        while _IDLE:
            _IDLE.pop().close()
