"""Errors that a learner sees: one line, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 60  # characters of a name that is not there


class CourseError(Exception):
    """A mistake or a missing thing that the reader can mend; the text is the whole message.

    Notebooks show it as one line: no traceback stands in front of the sentence that helps.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython's hook for how an exception is shown."""
        return [f"{type(self).__name__}: {self}"]


class UnknownName(CourseError, KeyError):
    """A model, chapter, exercise, ... that does not exist; the message offers the nearest ones."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(self._message())

    def _message(self) -> str:
        name = str(self.name)
        near = get_close_matches(name, self.known, n=3, cutoff=0.4) or self.known
        choices = ", ".join(repr(name) for name in near) or "none at all"
        lead = "Nearest" if len(near) < len(self.known) else "There are"
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
        return f"There is no {self.kind} {shown!r}. {lead}: {choices}."

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return self._message()
