"""Lines, bars and points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table
from circuits_course.plots.axes import SIZE, axis_named, require_same_length, set_axes
from circuits_course.plots.figure import PALETTE, Figure, layout, plotly_text

MAX_ROWS = 12

# A second sign beside colour, as plotly and matplotlib name it.
DASHES = (("solid", "-"), ("dash", "--"), ("dot", ":"), ("dashdot", "-."))


def plot_lines(
    lines: Mapping[str, Any],
    title: str,
    *,
    x: Any = None,
    x_title: str,
    y_title: str,
    markers: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[Any, Any]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Named lines y[point] over one x[point] (0, 1, 2, ... by default).

    markers: {label: x}, vertical lines that mark a place; bands: {name of a line: (low, high)},
    a shaded range around it. A not-a-number is a gap.
    """
    ys = {name: as_array(y, f"line {name!r}", ndim=1) for name, y in lines.items()}
    if not ys:
        raise CourseError("There is no line to plot: give {name: values}.")
    length = len(next(iter(ys.values())))
    xs = np.arange(length, dtype=float) if x is None else as_array(x, "x", ndim=1)
    require_same_length({"x": xs, **ys})
    edges = _edges(bands or {}, ys)
    marks = {label: float(place) for label, place in (markers or {}).items()}
    axes: dict[str, Any] = {"x_title": x_title, "y_title": y_title, "log_x": log_x, "log_y": log_y}
    return Figure(
        title=title,
        alt=_describe_lines(xs, ys, marks, x_title, y_title),
        table=_lines_table(xs, ys, x_title),
        numbers={x_title: xs, **ys},
        paint=lambda canvas: _paint_lines(canvas, xs, ys, edges, marks, **axes),
        size=SIZE,
        plotly=_interactive_lines(title, xs, ys, edges, marks, **axes),
    )


def _edges(bands: Mapping[str, tuple[Any, Any]], ys: Mapping[str, np.ndarray]) -> dict:
    strangers = set(bands) - set(ys)
    if strangers:
        raise CourseError(f"bands names no line: {sorted(strangers)}; lines are {list(ys)}.")
    edges = {}
    for name, (low, high) in bands.items():
        edges[name] = as_array(low, "band", ndim=1), as_array(high, "band", ndim=1)
        require_same_length({name: ys[name], "low": edges[name][0], "high": edges[name][1]})
    return edges


def _describe_lines(
    xs: np.ndarray,
    ys: Mapping[str, np.ndarray],
    marks: Mapping[str, float],
    x_title: str,
    y_title: str,
) -> str:
    parts = [
        f"{name} goes from {number(y[0])} to {number(y[-1])} "
        f"(lowest {number(np.nanmin(y))}, highest {number(np.nanmax(y))})"
        for name, y in ys.items()
        if np.isfinite(y).any()
    ]
    marked = [f"{label} at {number(place)}" for label, place in marks.items()]
    return (
        f"Line chart of {y_title} against {x_title}, {number(xs[0])} to {number(xs[-1])}: "
        + "; ".join(parts)
        + (f". Marked: {', '.join(marked)}" if marked else "")
        + "."
    )


def _lines_table(xs: np.ndarray, ys: Mapping[str, np.ndarray], x_title: str) -> str:
    rows = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), MAX_ROWS)).round().astype(int))
    body = ([number(xs[i]), *(number(y[i]) for y in ys.values())] for i in rows)
    note = f"\n({len(rows)} of {len(xs)} points)" if len(rows) < len(xs) else ""
    return table([x_title, *ys], body) + note


def _style(index: int) -> tuple[str, tuple[str, str]]:
    return PALETTE[index % len(PALETTE)], DASHES[(index // 2) % len(DASHES)]


def _interactive_lines(
    title: str,
    xs: np.ndarray,
    ys: Mapping[str, np.ndarray],
    edges: Mapping,
    marks: Mapping[str, float],
    *,
    x_title: str,
    y_title: str,
    log_x: bool,
    log_y: bool,
) -> dict[str, Any]:
    across = rounded_x(xs)
    data: list[dict[str, Any]] = []
    for index, (name, y) in enumerate(ys.items()):
        colour, (dash, _) = _style(index)
        if name in edges:
            data.append(_band(xs, edges[name], colour))
        trace = {
            "type": "scatter",
            "mode": "lines+markers" if len(xs) <= 40 else "lines",
            "name": plotly_text(name),
            "x": across,
            "y": rounded(y),
            "line": {"color": colour, "dash": dash, "width": 2},
        }
        data.append(trace)
    figure = layout(
        title,
        axis_named(x_title, log_x),
        axis_named(y_title, log_y),
        SIZE,
        shapes=[_mark(place, log_x) for place in marks.values()],
        annotations=[_mark_name(*mark, log_x) for mark in marks.items()],
        showlegend=len(ys) > 1,
        hovermode="x unified",
    )
    return {"data": data, "layout": figure}


def rounded_x(xs: np.ndarray) -> list:
    """Steps and positions are whole numbers: those are kept exactly."""
    return [int(x) for x in xs] if (xs == np.round(xs)).all() else rounded(xs)


def _band(xs: np.ndarray, edges: tuple[np.ndarray, np.ndarray], colour: str) -> dict[str, Any]:
    low, high = edges
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


def _mark(place: float, log: bool) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": place,
        "x1": place,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": "#666666", "width": 1, "dash": "dash"},
    }


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


def _paint_lines(
    canvas: Any,
    xs: np.ndarray,
    ys: Mapping[str, np.ndarray],
    edges: Mapping,
    marks: Mapping[str, float],
    *,
    x_title: str,
    y_title: str,
    log_x: bool,
    log_y: bool,
) -> None:
    axes = canvas.add_subplot()
    for index, (name, y) in enumerate(ys.items()):
        colour, (_, dash) = _style(index)
        dot = "." if len(xs) <= 40 else ""
        axes.plot(xs, y, color=colour, linestyle=dash, marker=dot, linewidth=1.6, label=name)
        if name in edges:
            axes.fill_between(xs, *edges[name], color=colour, alpha=0.2, linewidth=0)
    set_axes(axes, x_title, y_title)
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    if log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    for label, place in marks.items():
        axes.axvline(place, color="#666666", linestyle="--", linewidth=1)
        axes.annotate(
            label,
            (place, 1),
            (3, -3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=8,
        )
    if len(ys) > 1:
        axes.legend(frameon=False, fontsize=8)
