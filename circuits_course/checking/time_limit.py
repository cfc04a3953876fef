"""A limit on how long a block of Python may run, in whichever thread it runs."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Limit:
    """over: the block was interrupted."""

    def __init__(self) -> None:
        self.over = False
        self.ended = False


@contextmanager
def time_limit(seconds: float, limit: Limit | None = None) -> Iterator[Limit]:
    """Raises KeyboardInterrupt in the block after `seconds`, as the stop button would; `limit`
    tells which of the two it was.

    Code that does not come back to Python (one long torch operation) is interrupted after it.
    """
    limit, lock, thread = limit or Limit(), threading.Lock(), threading.get_ident()

    def interrupt() -> None:
        with lock:
            if not limit.ended:
                limit.over = True
                _raise_in(thread, KeyboardInterrupt)

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield limit
    finally:
        with lock:
            limit.ended = True
            if limit.over:
                _raise_in(thread, None)  # where it has not been raised yet
        timer.cancel()


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    raised = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
