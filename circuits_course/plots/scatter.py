"""Points, the outstanding ones named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table, texts
from circuits_course.plots.axes import SIZE, Axis, labels_along, require_same_length, set_axes
from circuits_course.plots.figure import PALETTE, Figure, layout, plotly_text

MAX_NAMED_POINTS = 12
SIGNS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("x", "X"))


@dataclass(frozen=True)
class Points:
    """A scatter plot; far: the points farthest out; named: whether names stand beside those."""

    xs: np.ndarray
    ys: np.ndarray
    names: list[str]
    kinds: list[str]
    far: list[int]
    named: bool
    diagonal: bool
    x: Axis
    y: Axis

    def groups(self) -> Iterator[tuple[str, list[int], str, tuple[str, str]]]:
        """Each kind with its points, colour and sign."""
        for index, kind in enumerate(dict.fromkeys(self.kinds)):
            members = [i for i, other in enumerate(self.kinds) if other == kind]
            yield kind, members, PALETTE[index % len(PALETTE)], SIGNS[index % len(SIGNS)]

    @property
    def ends(self) -> tuple[float, float]:
        """The range in which both coordinates lie: where a diagonal can be seen."""
        low = max(np.nanmin(self.xs), np.nanmin(self.ys))
        return float(low), float(min(np.nanmax(self.xs), np.nanmax(self.ys)))


def plot_scatter(
    x: tuple[str, Any],
    y: tuple[str, Any],
    title: str,
    *,
    labels: Sequence[Any] | None = None,
    groups: Sequence[str] | None = None,
    diagonal: bool = False,
) -> Figure:
    """Points; x and y are (title, values), labels[i], a word or a head, names a point on hover.

    groups[i] gives its colour and sign. The points farthest out are also named in the picture and
    in its table. diagonal: draw the line on which both are equal.
    """
    xs, ys = as_array(x[1], "x", ndim=1), as_array(y[1], "y", ndim=1)
    require_same_length({"x": xs, "y": ys})
    names = labels_along(labels, len(xs), "labels")
    kinds = [""] * len(xs) if groups is None else [str(group) for group in groups]
    if len(kinds) != len(xs):
        raise CourseError(f"{len(xs)} points and {len(kinds)} groups.")
    far, named = _farthest(xs, ys), labels is not None
    chart = Points(xs, ys, names, kinds, far, named, diagonal, Axis(x[0]), Axis(y[0]))
    return Figure(
        title=title,
        alt=_describe(chart),
        table=_table(chart),
        numbers={x[0]: xs, y[0]: ys},
        paint=lambda canvas: _paint(canvas, chart),
        size=SIZE,
        plotly=_interactive(chart, title),
    )


def _farthest(xs: np.ndarray, ys: np.ndarray) -> list[int]:
    """The points that stand out most from the middle of the cloud, in units of its spread."""
    far = sum(((v - np.nanmean(v)) / (np.nanstd(v) or 1.0)) ** 2 for v in (xs, ys))
    return [int(i) for i in np.argsort(-np.nan_to_num(far), kind="stable")[:MAX_NAMED_POINTS]]


def _describe(chart: Points) -> str:
    def ends(values: np.ndarray) -> str:
        return f"from {number(np.nanmin(values))} to {number(np.nanmax(values))}"

    line = " A line marks where both are equal." if chart.diagonal else ""
    return (
        f"Scatter plot of {chart.y.title} ({ends(chart.ys)}) against {chart.x.title} "
        f"({ends(chart.xs)}), {len(chart.xs)} points.{line}"
    )


def _table(chart: Points) -> str:
    far = chart.far
    words = [[list_[i] for i in far] for list_ in (chart.names, chart.kinds)]
    columns = [*words, texts(chart.xs[far]), texts(chart.ys[far])]
    head, count = ["point", "group", chart.x.title, chart.y.title], len(chart.xs)
    note = f"\n({len(far)} of {count} points, those farthest out)" if len(far) < count else ""
    return table(head, zip(*columns, strict=True)) + note


def _interactive(chart: Points, title: str) -> dict[str, Any]:
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plotly_text(kind),
            "x": rounded(chart.xs[members]),
            "y": rounded(chart.ys[members]),
            "text": [plotly_text(chart.names[i]) for i in members],
            "hovertemplate": "%{text}<br>(%{x}, %{y})<extra></extra>",
            "marker": {"color": colour, "size": 8, "symbol": symbol},
        }
        for kind, members, colour, (symbol, _) in chart.groups()
    ]
    low, high = chart.ends
    line = {"type": "line", "x0": low, "x1": high, "y0": low, "y1": high}
    shapes = [{**line, "line": {"color": "#666666", "dash": "dash"}}] if chart.diagonal else []
    legend = len(data) > 1
    plan = layout(title, chart.x.plotly, chart.y.plotly, SIZE, showlegend=legend, shapes=shapes)
    return {"data": data, "layout": plan}


def _paint(canvas: Any, chart: Points) -> None:
    axes = canvas.add_subplot()
    for kind, members, colour, (_, sign) in chart.groups():
        style: Any = {"s": 26, "color": colour, "marker": sign, "linewidths": 0}
        axes.scatter(chart.xs[members], chart.ys[members], label=kind, **style)
    if chart.diagonal:
        axes.plot(chart.ends, chart.ends, color="#666666", linestyle="--", linewidth=1)
    set_axes(axes, chart.x, chart.y)
    if len(set(chart.kinds)) > 1:
        axes.legend(frameon=False, fontsize=8)
    if chart.named:
        _name_points(canvas, axes, chart)


def _name_points(canvas: Any, axes: Any, chart: Points) -> None:
    """Names beside the points farthest out, moved apart where they would lie over each other."""
    from adjustText import adjust_text

    far = chart.far
    names = [axes.text(chart.xs[i], chart.ys[i], chart.names[i], fontsize=8) for i in far]
    canvas.draw_without_rendering()  # the layout is settled before anything is measured
    adjust_text(
        names,
        x=chart.xs,
        y=chart.ys,
        ax=axes,
        arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6},
        time_lim=None,
        iter_lim=200,
        ensure_inside_axes=True,
    )
