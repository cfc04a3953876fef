"""Points, the outstanding ones named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table
from circuits_course.plots.axes import SIZE, axis_named, require_same_length, set_axes
from circuits_course.plots.figure import PALETTE, Figure, layout, plotly_text

MAX_NAMED_POINTS = 12

SIGNS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("x", "X"))


def plot_scatter(
    x: Any,
    y: Any,
    title: str,
    *,
    labels: Sequence[str] | None = None,
    x_title: str,
    y_title: str,
    groups: Sequence[str] | None = None,
) -> Figure:
    """Points (x[i], y[i]); labels[i] names a point on hover, groups[i] gives colour and sign."""
    xs, ys = as_array(x, "x", ndim=1), as_array(y, "y", ndim=1)
    require_same_length({"x": xs, "y": ys})
    names = [str(i) for i in range(len(xs))] if labels is None else [str(name) for name in labels]
    kinds = [""] * len(xs) if groups is None else [str(group) for group in groups]
    if not len(names) == len(kinds) == len(xs):
        raise CourseError(f"{len(xs)} points, {len(names)} labels and {len(kinds)} groups.")
    far = _farthest(xs, ys)
    shown = far if labels is not None else []
    return Figure(
        title=title,
        alt=f"Scatter plot of {y_title} (from {number(np.nanmin(ys))} to {number(np.nanmax(ys))}) "
        f"against {x_title} (from {number(np.nanmin(xs))} to {number(np.nanmax(xs))}), "
        f"{len(xs)} points.",
        table=_scatter_table(xs, ys, names, kinds, far, x_title, y_title),
        numbers={x_title: xs, y_title: ys},
        paint=lambda canvas: _paint_scatter(canvas, xs, ys, names, kinds, shown, x_title, y_title),
        size=SIZE,
        plotly=_interactive_scatter(xs, ys, names, kinds, title, x_title, y_title),
    )


def _farthest(xs: np.ndarray, ys: np.ndarray) -> list[int]:
    """The points that stand out most from the middle of the cloud, in units of its spread."""
    far = sum(((v - np.nanmean(v)) / (np.nanstd(v) or 1.0)) ** 2 for v in (xs, ys))
    return [int(i) for i in np.argsort(-np.nan_to_num(far), kind="stable")[:MAX_NAMED_POINTS]]


def _scatter_table(
    xs: np.ndarray,
    ys: np.ndarray,
    names: list[str],
    kinds: list[str],
    shown: list[int],
    x_title: str,
    y_title: str,
) -> str:
    rows = ([names[i], kinds[i], number(xs[i]), number(ys[i])] for i in shown)
    note = f"\n({len(shown)} of {len(xs)} points, those farthest out)"
    return table(["point", "group", x_title, y_title], rows) + (
        note if len(shown) < len(xs) else ""
    )


def _interactive_scatter(
    xs: np.ndarray,
    ys: np.ndarray,
    names: list[str],
    kinds: list[str],
    title: str,
    x_title: str,
    y_title: str,
) -> dict[str, Any]:
    data = []
    for index, kind in enumerate(dict.fromkeys(kinds)):
        members = [i for i, other in enumerate(kinds) if other == kind]
        trace = {
            "type": "scatter",
            "mode": "markers",
            "name": plotly_text(kind),
            "x": rounded(xs[members]),
            "y": rounded(ys[members]),
            "text": [plotly_text(names[i]) for i in members],
            "hovertemplate": "%{text}<br>(%{x}, %{y})<extra></extra>",
            "marker": {
                "color": PALETTE[index % len(PALETTE)],
                "size": 8,
                "symbol": SIGNS[index % len(SIGNS)][0],
            },
        }
        data.append(trace)
    figure = layout(
        title,
        axis_named(x_title, False),
        axis_named(y_title, False),
        SIZE,
        showlegend=len(data) > 1,
    )
    return {"data": data, "layout": figure}


def _paint_scatter(
    canvas: Any,
    xs: np.ndarray,
    ys: np.ndarray,
    names: list[str],
    kinds: list[str],
    shown: list[int],
    x_title: str,
    y_title: str,
) -> None:
    axes = canvas.add_subplot()
    for index, kind in enumerate(dict.fromkeys(kinds)):
        members = [i for i, other in enumerate(kinds) if other == kind]
        axes.scatter(
            xs[members],
            ys[members],
            s=26,
            color=PALETTE[index % len(PALETTE)],
            marker=SIGNS[index % len(SIGNS)][1],
            label=kind,
            linewidths=0,
        )
    for i in shown:
        axes.annotate(names[i], (xs[i], ys[i]), (4, 3), textcoords="offset points", fontsize=7)
    set_axes(axes, x_title, y_title)
    if len(set(kinds)) > 1:
        axes.legend(frameon=False, fontsize=8)
