"""Numbers as a reader wants them: digits that follow the scale, and never a minus zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

FLAGS = {None: "", True: "yes", False: "no"}
TINY = 5e-4  # below, two digits and a power of ten


def plain_number(value: Any) -> float | int | None:
    """A python number for numbers, one-element tensors and arrays; None for anything else."""
    if isinstance(value, bool | str | bytes) or value is None:
        return None
    if isinstance(value, int | float):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        got = value.item()
        return got if isinstance(got, int | float) and not isinstance(got, bool) else None
    return None


def digits_for(values: Iterable[float]) -> int:
    """Digits after the point with which the largest of the values shows about three figures."""
    sizes = [abs(value) for value in values if math.isfinite(value)]
    largest = max(sizes, default=0.0)
    if largest >= 100:
        return 0
    if largest >= 10:
        return 1
    if largest >= 0.095 or largest == 0:
        return 2
    return 3 if largest >= 0.0095 else 4


def number_text(value: float, digits: int) -> str:
    """A number with that many digits; tiny ones that would vanish as 2.4e-06, never "-0"."""
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 100_000 else str(value)
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "–")
    text = f"{value:.{digits}f}"
    if float(text) != 0:
        return text
    return text.lstrip("-")


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign; zero has none."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def column_text(values: list[Any], digits: int | None = None) -> list[str]:
    """A column of cells as text: its numbers with equal digits, everything else as it says."""
    numbers = [plain_number(value) for value in values]
    floats = [n for n in numbers if isinstance(n, float)]
    places = digits_for(floats) if digits is None else digits
    small = bool(floats) and digits is None and 0 < max(map(abs, floats)) < TINY
    return [
        _cell(value, number, places, small) for value, number in zip(values, numbers, strict=True)
    ]


def _cell(value: Any, number: float | int | None, places: int, small: bool) -> str:
    if number is None:
        return FLAGS[value] if _flag(value) else str(value)
    if small and isinstance(number, float) and number:
        return f"{number:.1e}"
    return number_text(number, places)


def _flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)
