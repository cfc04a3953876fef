"""What charts with two axes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.figure import plotly_text

SIZE = (7.0, 4.0)
MAX_ROWS = 12  # of a chart's table


@dataclass(frozen=True)
class Axis:
    """One axis: its title with the unit, and whether it is logarithmic."""

    title: str
    log: bool = False

    @property
    def plotly(self) -> dict[str, Any]:
        named = {"title": {"text": plotly_text(self.title)}}
        return {**named, "type": "log"} if self.log else named


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
