"""Bars, with error bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table, texts
from circuits_course.plots.axes import SIZE, Axis, label, set_axes
from circuits_course.plots.figure import INK, PALETTE, Figure, layout, plotly_text

CROWDED = 70  # letters under all bars together: beyond, they are turned


@dataclass(frozen=True)
class Bars:
    """A bar chart; spread: half the length of each error bar, None where there are none."""

    names: list[str]
    values: np.ndarray
    spread: np.ndarray | None
    x: Axis
    y: Axis


def plot_bars(
    bars: Mapping[Any, float],
    title: str,
    *,
    y: str,
    x: str = "",
    errors: Mapping[Any, float] | None = None,
) -> Figure:
    """One bar per name, a word or a head; errors: {name: half the length of its error bar}."""
    names = [label(name) for name in bars]
    values = as_array([float(value) for value in bars.values()], "bars", ndim=1)
    chart = Bars(names, values, _spread(names, errors), Axis(x), Axis(y))
    return Figure(
        title=title,
        alt=f"Bar chart of {y} for {len(names)} names, from {number(np.nanmin(values))} "
        f"to {number(np.nanmax(values))}.",
        table=_table(chart),
        numbers={y: values, **({} if chart.spread is None else {"errors": chart.spread})},
        paint=lambda canvas: _paint(canvas, chart),
        size=SIZE,
        plotly=_interactive(chart, title),
    )


def _spread(names: list[str], errors: Mapping[str, float] | None) -> np.ndarray | None:
    if not errors:
        return None
    strangers = set(map(label, errors)) - set(names)
    if strangers:
        raise CourseError(f"errors names no bar: {sorted(strangers)}; bars are {names}.")
    given = {label(name): float(error) for name, error in errors.items()}
    return np.array([given.get(name, np.nan) for name in names])


def _table(chart: Bars) -> str:
    head, columns = [chart.x.title or "name", chart.y.title], [chart.names, texts(chart.values)]
    if chart.spread is not None:
        head, columns = [*head, "±"], [*columns, texts(chart.spread)]
    return table(head, zip(*columns, strict=True))


def _interactive(chart: Bars, title: str) -> dict[str, Any]:
    places, words = list(range(len(chart.names))), [plotly_text(name) for name in chart.names]
    trace: dict[str, Any] = {
        "type": "bar",
        "x": places,
        "y": rounded(chart.values),
        "customdata": words,
        "hovertemplate": "%{customdata}<br>%{y}<extra></extra>",
        "marker": {"color": PALETTE[0]},
    }
    if chart.spread is not None:
        trace["error_y"] = {"type": "data", "array": rounded(chart.spread)}
    across = {**chart.x.plotly, "tickvals": places, "ticktext": words}
    return {"data": [trace], "layout": layout(title, across, chart.y.plotly, SIZE)}


def _paint(canvas: Any, chart: Bars) -> None:
    axes, places = canvas.add_subplot(), np.arange(len(chart.names))
    axes.bar(places, chart.values, color=PALETTE[0])
    if chart.spread is not None:
        known = np.isfinite(chart.spread)
        at = places[known], chart.values[known], chart.spread[known]
        axes.errorbar(*at, fmt="none", ecolor=INK, capsize=3, linewidth=1)
    turned = sum(map(len, chart.names)) > CROWDED
    style = {"rotation": 30, "ha": "right"} if turned else {"rotation": 0, "ha": "center"}
    axes.set_xticks(places, chart.names, **style)
    set_axes(axes, chart.x, chart.y)
    axes.grid(visible=False, axis="x")
    axes.axhline(0, color=INK, linewidth=0.8)
