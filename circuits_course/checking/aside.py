"""Work done in a copy of this process, of which nothing comes back but a text.

What happens there - an endless loop, a crash inside a library, memory without end, a model changed,
a line printed - happens to the copy alone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable

import torch

from circuits_course.checking import limits


def in_a_copy(work: Callable[[], str], seconds: float) -> str:
    """What `work` returns there, or "" where it did not return in time, or at all.

    "" too where the system cannot copy a process (Windows, or no memory and processes left for it),
    or not one that has used its libraries for algebra (macOS).
    """
    if sys.platform != "linux":
        return ""
    reading, writing = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the copy has none
            child = os.fork()
    except OSError:  # no memory, or no more processes allowed
        os.close(reading)
        os.close(writing)
        return ""
    if child == 0:
        _work_and_end(work, writing, seconds)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], seconds)
        return os.read(reading, 1 << 16).decode() if ready else ""
    except KeyboardInterrupt:
        return ""
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work_and_end(work: Callable[[], str], writing: int, seconds: float) -> None:
    """Never returns: the copy ends here, without the goodbyes of the process that it was."""
    with contextlib.suppress(BaseException):
        faulthandler.disable()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        limits.die_with_parent()
        limits.limit(int(seconds) + 1)
        torch.set_num_threads(1)  # pools of threads are not copied
        warnings.simplefilter("ignore")
        os.write(writing, work().encode())
    os._exit(0)
