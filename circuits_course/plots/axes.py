"""What charts with two axes share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.figure import plotly_text

SIZE = (7.0, 4.0)
MAX_ROWS = 12  # of a chart's table

# What a chart is told of an axis: its title, or (title, what stands along it).
Along = str | tuple[str, Any]


@dataclass(frozen=True)
class Axis:
    """One axis: its title with the unit, and whether it is logarithmic."""

    title: str
    log: bool = False

    @property
    def plotly(self) -> dict[str, Any]:
        named = {"title": {"text": plotly_text(self.title)}}
        return {**named, "type": "log"} if self.log else named


def title_and_values(axis: Along) -> tuple[str, Any]:
    """("title", values) of what was given for an axis; None where it only has a title."""
    return (axis, None) if isinstance(axis, str) else axis


def label(name: Any) -> str:
    """A name on an axis or beside a point; a head (layer, head) as 3.1."""
    return ".".join(map(str, name)) if isinstance(name, tuple) else str(name)


def labels_along(names: Iterable[Any] | None, length: int, title: str) -> list[str]:
    """One name for each of `length` places, their numbers by default."""
    texts = [label(name) for name in (range(length) if names is None else names)]
    if len(texts) != length:
        raise CourseError(f"{title!r} has {len(texts)} names for {length} places.")
    return texts


def set_axes(axes: Any, x: Axis, y: Axis) -> None:
    """Titles, grid and scales of a still chart."""
    axes.set_xlabel(x.title)
    axes.set_ylabel(y.title)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if x.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    if y.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")


def require_same_length(arrays: Mapping[str, np.ndarray]) -> None:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise CourseError(f"Lines over one x must have equal lengths, got {lengths}.")
