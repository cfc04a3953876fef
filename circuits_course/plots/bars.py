"""Bars, with error bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table
from circuits_course.plots.axes import SIZE, axis_named, set_axes
from circuits_course.plots.figure import PALETTE, Figure, layout, plotly_text


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
    return {"data": [trace], "layout": layout(title, across, axis_named(y_title, False), SIZE)}


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
    set_axes(axes, x_title, y_title)
    axes.grid(visible=False, axis="x")
    axes.axhline(0, color="#222222", linewidth=0.8)
