"""Lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table, texts
from circuits_course.plots.axes import (
    MAX_ROWS,
    SIZE,
    Along,
    Axis,
    require_same_length,
    set_axes,
    title_and_values,
)
from circuits_course.plots.figure import PALETTE, Figure, layout, plotly_text

FEW_POINTS = 40  # up to this many, each is marked
# A second sign beside colour, as plotly and matplotlib name it.
DASHES = (("solid", "-"), ("dash", "--"), ("dot", ":"), ("dashdot", "-."))


@dataclass(frozen=True)
class Lines:
    """A line chart: named lines over one x, ranges around some of them, marked places."""

    xs: np.ndarray
    ys: dict[str, np.ndarray]
    bands: dict[str, tuple[np.ndarray, np.ndarray]]
    marks: dict[str, float]
    x: Axis
    y: Axis

    @property
    def few(self) -> bool:
        return len(self.xs) <= FEW_POINTS


def plot_lines(
    lines: Mapping[str, Any],
    title: str,
    *,
    x: Along,
    y: str,
    markers: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[Any, Any]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Named lines over one x: its title, or (title, x[point]); x is 0, 1, 2, ... by default.

    markers: {label: x}, vertical lines that mark a place; bands: {name of a line: (low, high)},
    a shaded range around it. A not-a-number is a gap.
    """
    ys = {name: as_array(y, f"line {name!r}", ndim=1) for name, y in lines.items()}
    if not ys:
        raise CourseError("There is no line to plot: give {name: values}.")
    length = len(next(iter(ys.values())))
    x_title, given = title_and_values(x)
    xs = np.arange(length, dtype=float) if given is None else as_array(given, "x", ndim=1)
    require_same_length({"x": xs, **ys})
    marks = {label: float(place) for label, place in (markers or {}).items()}
    chart = Lines(xs, ys, _bands(bands or {}, ys), marks, Axis(x_title, log_x), Axis(y, log_y))
    return Figure(
        title=title,
        alt=_describe(chart),
        table=_table(chart),
        numbers={x_title: xs, **ys},
        paint=lambda canvas: _paint(canvas, chart),
        size=SIZE,
        plotly=_interactive(chart, title),
    )


def _bands(
    given: Mapping[str, tuple[Any, Any]], ys: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    strangers = set(given) - set(ys)
    if strangers:
        raise CourseError(f"bands names no line: {sorted(strangers)}; lines are {list(ys)}.")
    bands = {}
    for name, (low, high) in given.items():
        bands[name] = as_array(low, "band", ndim=1), as_array(high, "band", ndim=1)
        require_same_length({name: ys[name], "low": bands[name][0], "high": bands[name][1]})
    return bands


# --- in words ---------------------------------------------------------------------------------


def _describe(chart: Lines) -> str:
    parts = [
        f"{name} goes from {number(y[0])} to {number(y[-1])} "
        f"(lowest {number(np.nanmin(y))}, highest {number(np.nanmax(y))})"
        for name, y in chart.ys.items()
        if np.isfinite(y).any()
    ]
    marked = [f"{label} at {number(place)}" for label, place in chart.marks.items()]
    ends = f"{number(chart.xs[0])} to {number(chart.xs[-1])}"
    return (
        f"Line chart of {chart.y.title} against {chart.x.title}, {ends}: "
        + "; ".join(parts)
        + (f". Marked: {', '.join(marked)}" if marked else "")
        + "."
    )


def _table(chart: Lines) -> str:
    count = len(chart.xs)
    rows = np.unique(np.linspace(0, count - 1, min(count, MAX_ROWS)).round().astype(int))
    columns = [[number(chart.xs[i]) for i in rows], *(texts(y[rows]) for y in chart.ys.values())]
    note = f"\n({len(rows)} of {count} points)" if len(rows) < count else ""
    return table([chart.x.title, *chart.ys], zip(*columns, strict=True)) + note


# --- interactive ------------------------------------------------------------------------------


def _style(index: int) -> tuple[str, tuple[str, str]]:
    return PALETTE[index % len(PALETTE)], DASHES[(index // 2) % len(DASHES)]


def _interactive(chart: Lines, title: str) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    for index, (name, y) in enumerate(chart.ys.items()):
        colour, (dash, _) = _style(index)
        if name in chart.bands:
            data.append(_range_trace(chart.xs, chart.bands[name], colour))
        trace = {
            "type": "scatter",
            "mode": "lines+markers" if chart.few else "lines",
            "name": plotly_text(name),
            "x": rounded_x(chart.xs),
            "y": rounded(y),
            "line": {"color": colour, "dash": dash, "width": 2},
        }
        data.append(trace)
    figure = layout(
        title,
        chart.x.plotly,
        chart.y.plotly,
        SIZE,
        shapes=[_mark(place) for place in chart.marks.values()],
        annotations=[_mark_name(*mark, chart.x.log) for mark in chart.marks.items()],
        showlegend=len(chart.ys) > 1,
        hovermode="x unified",
    )
    return {"data": data, "layout": figure}


def rounded_x(xs: np.ndarray) -> list:
    """Steps and positions are whole numbers: those are kept exactly."""
    return [int(x) for x in xs] if (xs == np.round(xs)).all() else rounded(xs)


def _range_trace(
    xs: np.ndarray, band: tuple[np.ndarray, np.ndarray], colour: str
) -> dict[str, Any]:
    low, high = band
    return {
        "type": "scatter",
        "x": rounded_x(np.concatenate([xs, xs[::-1]])),
        "y": rounded(np.concatenate([high, low[::-1]])),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.2,
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _mark(place: float) -> dict[str, Any]:
    ends = {"x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": {"color": "#666666", "width": 1, "dash": "dash"}}


def _mark_name(label: str, place: float, log: bool) -> dict[str, Any]:
    # plotly wants the exponent for annotations on a logarithmic axis, but not for shapes
    return {
        "x": float(np.log10(place)) if log else place,
        "y": 1,
        "yref": "paper",
        "yanchor": "top",
        "xanchor": "left",
        "text": plotly_text(label),
        "showarrow": False,
    }


# --- still ------------------------------------------------------------------------------------


def _paint(canvas: Any, chart: Lines) -> None:
    axes = canvas.add_subplot()
    for index, (name, y) in enumerate(chart.ys.items()):
        colour, (_, dash) = _style(index)
        dot = "." if chart.few else ""
        axes.plot(chart.xs, y, color=colour, linestyle=dash, marker=dot, linewidth=1.6, label=name)
        if name in chart.bands:
            axes.fill_between(chart.xs, *chart.bands[name], color=colour, alpha=0.2, linewidth=0)
    set_axes(axes, chart.x, chart.y)
    at_top: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    for label, place in chart.marks.items():
        axes.axvline(place, color="#666666", linestyle="--", linewidth=1)
        axes.annotate(label, (place, 1), (3, -3), **at_top, va="top", fontsize=8)
    if len(chart.ys) > 1:
        axes.legend(frameon=False, fontsize=8)
