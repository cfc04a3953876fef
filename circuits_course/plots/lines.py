"""Lines, bars and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table
from circuits_course.plots.figure import PALETTE, Figure, layout, plotly_text

SIZE = (7.0, 4.0)
MAX_ROWS = 12
MAX_NAMED_POINTS = 12
# A second sign beside colour, as plotly and matplotlib name it.
DASHES = (("solid", "-"), ("dash", "--"), ("dot", ":"), ("dashdot", "-."))
SIGNS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("x", "X"))


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
    _same_length({"x": xs, **ys})
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


def _same_length(arrays: Mapping[str, np.ndarray]) -> None:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise CourseError(f"Lines over one x must have equal lengths, got {lengths}.")


def _edges(bands: Mapping[str, tuple[Any, Any]], ys: Mapping[str, np.ndarray]) -> dict:
    strangers = set(bands) - set(ys)
    if strangers:
        raise CourseError(f"bands names no line: {sorted(strangers)}; lines are {list(ys)}.")
    edges = {}
    for name, (low, high) in bands.items():
        edges[name] = as_array(low, "band", ndim=1), as_array(high, "band", ndim=1)
        _same_length({name: ys[name], "low": edges[name][0], "high": edges[name][1]})
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
        _axis(x_title, log_x),
        _axis(y_title, log_y),
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


def _axis(title: str, log: bool) -> dict[str, Any]:
    return {"title": {"text": plotly_text(title)}, **({"type": "log"} if log else {})}


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
    _set_axes(axes, x_title, y_title)
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


def _set_axes(axes: Any, x_title: str, y_title: str) -> None:
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def plot_bars(
    bars: Mapping[str, float],
    title: str,
    *,
    y_title: str,
    x_title: str = "",
    errors: Mapping[str, float] | None = None,
) -> Figure:
    """One bar per name; errors: {name: half the length of its error bar}."""
    names = list(bars)
    values = as_array([float(bars[name]) for name in names], "bars", ndim=1)
    strangers = set(errors or {}) - set(names)
    if strangers:
        raise CourseError(f"errors names no bar: {sorted(strangers)}; bars are {names}.")
    spread = np.array([float((errors or {}).get(name, np.nan)) for name in names])
    return Figure(
        title=title,
        alt=f"Bar chart of {y_title} for {len(names)} names, from {number(np.nanmin(values))} "
        f"to {number(np.nanmax(values))}.",
        table=_bars_table(names, values, spread if errors else None, x_title, y_title),
        numbers={y_title: values, **({"errors": spread} if errors else {})},
        paint=lambda canvas: _paint_bars(canvas, names, values, spread, x_title, y_title),
        size=SIZE,
        plotly=_interactive_bars(
            names, values, spread if errors else None, title, x_title, y_title
        ),
    )


def _bars_table(
    names: list[str], values: np.ndarray, spread: np.ndarray | None, x_title: str, y_title: str
) -> str:
    head = [x_title or "name", y_title, *(["±"] if spread is not None else [])]
    rows = [[name, number(value)] for name, value in zip(names, values, strict=True)]
    if spread is not None:
        rows = [[*row, number(error)] for row, error in zip(rows, spread, strict=True)]
    return table(head, rows)


def _interactive_bars(
    names: list[str],
    values: np.ndarray,
    spread: np.ndarray | None,
    title: str,
    x_title: str,
    y_title: str,
) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "bar",
        "x": list(range(len(names))),
        "y": rounded(values),
        "customdata": [plotly_text(name) for name in names],
        "hovertemplate": "%{customdata}<br>%{y}<extra></extra>",
        "marker": {"color": PALETTE[0]},
    }
    if spread is not None:
        trace["error_y"] = {"type": "data", "array": rounded(spread)}
    across = {
        "title": {"text": plotly_text(x_title)},
        "tickvals": list(range(len(names))),
        "ticktext": [plotly_text(name) for name in names],
    }
    return {"data": [trace], "layout": layout(title, across, _axis(y_title, False), SIZE)}


def _paint_bars(
    canvas: Any,
    names: list[str],
    values: np.ndarray,
    spread: np.ndarray,
    x_title: str,
    y_title: str,
) -> None:
    axes = canvas.add_subplot()
    places = np.arange(len(names))
    axes.bar(places, values, color=PALETTE[0])
    known = np.isfinite(spread)
    axes.errorbar(
        places[known],
        values[known],
        spread[known],
        fmt="none",
        ecolor="#222222",
        capsize=3,
        linewidth=1,
    )
    crowded = sum(map(len, names)) > 70
    axes.set_xticks(
        places, names, rotation=30 if crowded else 0, ha="right" if crowded else "center"
    )
    _set_axes(axes, x_title, y_title)
    axes.grid(visible=False, axis="x")
    axes.axhline(0, color="#222222", linewidth=0.8)


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
    _same_length({"x": xs, "y": ys})
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
        title, _axis(x_title, False), _axis(y_title, False), SIZE, showlegend=len(data) > 1
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
    _set_axes(axes, x_title, y_title)
    if len(set(kinds)) > 1:
        axes.legend(frameon=False, fontsize=8)
