"""From whatever holds numbers (tensor, array, list) to small, plain data for a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.page.numbers import column_text

DIGITS = 4
NOTHING = 1e-12  # what rounding leaves of a zero


def as_array(values: Any, what: str, ndim: int | None = None) -> np.ndarray:
    """A float64 array. Tensors of any library are taken by their `detach` and `cpu`.

    Raises CourseError where the values are not numbers or have another number of axes.
    """
    for step in ("detach", "cpu"):
        values = getattr(values, step)() if hasattr(values, step) else values
    if str(getattr(values, "dtype", "")) == "torch.bfloat16":  # numpy has no such type
        values = values.float()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CourseError(f"{what} must be numbers in a regular array: {error}.") from None
    if ndim is not None and array.ndim != ndim:
        raise CourseError(f"{what} must have {ndim} axes, got shape {list(array.shape)}.")
    if array.size == 0:
        raise CourseError(f"{what} is empty: shape {list(array.shape)}.")
    return array


def rounded(array: np.ndarray) -> list:
    """Nested lists with four significant digits; what is not finite becomes None (a gap)."""
    if array.ndim:
        return [rounded(row) for row in array]
    value = float(array)
    if not np.isfinite(value):
        return None  # type: ignore[return-value]
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short  # type: ignore[return-value]


def number(value: Any) -> str:
    """A number as text: three digits behind the point where that says enough."""
    if not np.isfinite(value):
        return str(value)
    size = abs(value)
    if size < NOTHING:
        return "0"
    if 0.001 <= size < 1000:
        text = f"{value:.3f}" if size < 10 else f"{value:.{DIGITS}g}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{DIGITS}g}"


def texts(values: np.ndarray) -> list[str]:
    """Numbers of one kind as text, with equal digits that follow the largest of them."""
    return column_text([float(value) for value in values])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, aligned to the right except the first."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def visible(token: str, width: int = 14) -> str:
    """A token as it can be read on an axis: outer spaces, line breaks and tabs made visible."""
    token = re.sub("^ +| +$", lambda spaces: "·" * len(spaces[0]), token)
    for sign, shown in (("\n", "↵"), ("\r", "␍"), ("\t", "⇥")):
        token = token.replace(sign, shown)
    return token if len(token) <= width else token[: width - 1] + "…"
