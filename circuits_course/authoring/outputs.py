"""Whether two runs of a notebook say the same: words to the letter, numbers to their digits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")
LAST_DIGITS = 2  # units of the last printed digit that another machine may differ by
SHARE = 0.02  # of a number: the same allowance for those with many digits
NOTHING = 1e-5  # differences between sums that are equal but for rounding


def texts_of(cell: NotebookNode) -> list[str]:
    """What a cell says in words: printed lines, and the text form of tables and figures."""
    texts = []
    for out in cell.get("outputs", ()):
        said = out.get("text") or out.get("data", {}).get("text/plain") or ""
        texts.append("".join(said) if isinstance(said, list) else said)
    return texts


def first_difference(stored: Sequence[NotebookNode], fresh: Sequence[NotebookNode]) -> str | None:
    """The first cell whose words or numbers differ, in words; None where there is none.

    Figures are compared by the numbers in their text form. A number may differ by two units of its
    last printed digit, or by 2 %, so that another processor passes; a word may not.
    """
    for number, (old, new) in enumerate(zip(stored, fresh, strict=True), start=1):
        if new.cell_type != "code":
            continue
        before, after = texts_of(old), texts_of(new)
        if len(before) != len(after):
            return f"cell {number} ({new.id}) has {len(before)} outputs, a new run {len(after)}"
        for one, other in zip(before, after, strict=True):
            if what := text_difference(one, other):
                return f"cell {number} ({new.id}) {what}"
    return None


def text_difference(old: str, new: str) -> str | None:
    """Where two texts differ by more than the last digits of their numbers."""
    for one, other in zip(old.splitlines(), new.splitlines(), strict=False):
        if not _alike(one, other):
            return f"says {one.strip()[:100]!r}, a new run {other.strip()[:100]!r}"
    if len(old.splitlines()) != len(new.splitlines()):
        return f"has {len(old.splitlines())} lines, a new run {len(new.splitlines())}"
    return None


def _alike(one: str, other: str) -> bool:
    words = [" ".join(NUMBER.sub(" # ", line).split()) for line in (one, other)]
    numbers = [NUMBER.findall(line) for line in (one, other)]
    if words[0] != words[1] or len(numbers[0]) != len(numbers[1]):
        return False
    return all(_close(a, b) for a, b in zip(*numbers, strict=True))


def _close(one: str, other: str) -> bool:
    a, b = (float(text.replace("−", "-")) for text in (one, other))
    if a == b or max(abs(a), abs(b)) < NOTHING:
        return True
    if "." not in one and "." not in other and "e" not in one + other:
        return False  # whole numbers are counts, names of heads, positions
    unit = max(_last_digit(text) for text in (one, other))
    return abs(a - b) <= max(LAST_DIGITS * unit, SHARE * abs(a)) * (1 + 1e-9)


def _last_digit(text: str) -> float:
    """What one unit of the last printed digit is worth."""
    digits, _, power = text.lower().partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
