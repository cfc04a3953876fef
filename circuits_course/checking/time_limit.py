"""A limit on how long a block of Python may run, in whichever thread it runs."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises KeyboardInterrupt in the block after `seconds`, as the stop button would.

    Code that does not come back to Python (one long torch operation) is interrupted after it.
    """
    lock, thread, state = threading.Lock(), threading.get_ident(), {"ended": False, "over": False}

    def interrupt() -> None:
        with lock:
            if not state["ended"]:
                state["over"] = True
                _raise_in(thread, KeyboardInterrupt)

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            state["ended"] = True
            if state["over"]:
                _raise_in(thread, None)  # where it has not been raised yet
        timer.cancel()


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    raised = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
