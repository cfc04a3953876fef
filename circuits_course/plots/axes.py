"""What charts with two axes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.figure import plotly_text

SIZE = (7.0, 4.0)


def require_same_length(arrays: Mapping[str, np.ndarray]) -> None:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise CourseError(f"Lines over one x must have equal lengths, got {lengths}.")


def axis_named(title: str, log: bool) -> dict[str, Any]:
    return {"title": {"text": plotly_text(title)}, **({"type": "log"} if log else {})}


def set_axes(axes: Any, x_title: str, y_title: str) -> None:
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
