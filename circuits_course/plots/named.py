"""A matrix between directions that have names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from circuits_course.plots.figure import Figure
from circuits_course.plots.heatmaps import plot_matrix


def plot_named(
    in_names: Callable[[Any], tuple[list[str], Any]],
    matrix: Any,
    title: str,
    *,
    x: str,
    y: str,
    unit: str,
    both: bool = True,
) -> Figure:
    """A matrix [d_model, column], its rows read along the named directions on which it acts.

    in_names: matrix -> (names, rows along them), as `Basis.in_names`. both: the columns are
    directions of the residual stream too, and named alike; otherwise they are numbered.
    """
    rows, values = in_names(matrix)
    columns = None
    if both:
        columns, values = in_names(values.T)
        values = values.T
    return plot_matrix(values, title, x=(x, columns), y=(y, rows), unit=unit, diverging=True)
