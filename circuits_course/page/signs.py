"""Signs that every console can print: a tick becomes a word where the encoding has no tick."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from typing import Any

PLAIN = {
    "✔": "[ok]", "✘": "[x]", "○": "[ ]", "●": "*", "█": "#", "░": ".", "…": "...", "–": "-",
    "—": "-", "−": "-", "×": "x", "→": "->", "◂": "<", "“": '"', "”": '"', "‘": "'", "’": "'",
    "·": "-", "≥": ">=", "≤": "<=", "≈": "~", "\u202f": " ", "\u00a0": " ", "∞": "inf", "√": "sqrt",
}  # fmt: skip
OURS_TO_MEND = ("strict", "backslashreplace", "surrogateescape")
HANDLER = "circuits_course.plain_signs"


def plain_signs(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: plain words for what the encoding cannot say."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_plain, text)), error.end


def _plain(sign: str) -> str:
    if sign in PLAIN:
        return PLAIN[sign]
    bare = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return bare or "?"


codecs.register_error(HANDLER, plain_signs)


def print_anywhere(*streams: Any) -> None:
    """Makes text streams (standard output and error, unless told) never fail for a sign."""
    for stream in streams or (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in OURS_TO_MEND:
            stream.reconfigure(errors=HANDLER)
