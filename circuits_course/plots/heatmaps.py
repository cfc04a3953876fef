"""Heat maps: a score for every head, or any matrix with named rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table, visible
from circuits_course.plots.figure import GRID, INK, Figure, colour_scale, layout, plotly_text

MAX_WRITTEN = 64  # up to this many cells, each has its number written in it
MAX_LISTED = 12


def plot_heads(
    scores: Any, title: str, *, unit: str = "score", diverging: bool = False
) -> Figure:
    """One score per head: layers down, heads across.

    scores: [layer, head]; unit names the colour scale; diverging for scores with a sign.
    """
    values = as_array(scores, "scores", ndim=2)
    layers, heads = values.shape
    return _heat_map(
        values,
        title,
        rows=[str(layer) for layer in range(layers)],
        columns=[str(head) for head in range(heads)],
        x_title="head",
        y_title="layer",
        unit=unit,
        diverging=diverging,
        hover=f"head %{{y}}.%{{x}}<br>{plotly_text(unit)} %{{z}}<extra></extra>",
        cell_name="head {row}.{column}",
    )


def plot_matrix(
    matrix: Any,
    title: str,
    *,
    x_labels: Sequence[str] | None = None,
    y_labels: Sequence[str] | None = None,
    x_title: str,
    y_title: str,
    unit: str = "value",
    diverging: bool = False,
) -> Figure:
    """Any matrix [row, column]; the first row is drawn on top. Labels may repeat."""
    values = as_array(matrix, "matrix", ndim=2)
    rows = _labels(y_labels, values.shape[0], "y_labels")
    columns = _labels(x_labels, values.shape[1], "x_labels")
    return _heat_map(
        values,
        title,
        rows=rows,
        columns=columns,
        x_title=x_title,
        y_title=y_title,
        unit=unit,
        diverging=diverging,
        hover=None,
        cell_name="{row}, {column}",
    )


def _labels(given: Sequence[str] | None, length: int, what: str) -> list[str]:
    if given is None:
        return [str(i) for i in range(length)]
    if len(given) != length:
        raise CourseError(f"{what} has {len(given)} names for {length} lines of the matrix.")
    return [visible(str(label)) for label in given]


def _heat_map(values: np.ndarray, title: str, *, rows: list[str], columns: list[str], x_title: str,
              y_title: str, unit: str, diverging: bool, hover: str | None,
              cell_name: str) -> Figure:  # fmt: skip
    size = _size(values.shape, rows, columns)
    limits = colour_limits(values, diverging)
    names = {"rows": rows, "columns": columns}
    titles = {"x_title": x_title, "y_title": y_title, "unit": unit}
    hover = hover or (
        f"{plotly_text(y_title)} %{{y}}<br>{plotly_text(x_title)} %{{x}}<br>"
        f"{plotly_text(unit)} %{{z}}<extra></extra>"
    )
    return Figure(
        title=title,
        alt=_describe(values, x_title, y_title, unit, cell_name, **names),
        table=_as_text(values, unit, cell_name, x_title, y_title, **names),
        numbers={unit: values},
        paint=lambda canvas: _paint(canvas, values, limits, diverging, **names, **titles),
        size=size,
        plotly=_interactive(values, title, limits, diverging, hover, size, **names, **titles),
    )


def colour_limits(values: np.ndarray, diverging: bool) -> tuple[float, float]:
    """Zero is always on the scale: in its middle if diverging, at its foot otherwise.

    Scores between 0 and 1 keep the top at 1 once any exceeds a half, so that pictures compare.
    """
    finite = values[np.isfinite(values)]
    high = float(finite.max()) if finite.size else 1.0
    low = float(finite.min()) if finite.size else 0.0
    if diverging:
        bound = max(abs(low), abs(high)) or 1.0
        return -bound, bound
    high = 1.0 if 0.5 < high <= 1.0 else high
    return min(low, 0.0), high if high > min(low, 0.0) else 1.0


def _size(shape: tuple[int, ...], rows: list[str], columns: list[str]) -> tuple[float, float]:
    """Inches: cells stay near square and readable between 2 x 4 and 30 x 30."""
    letters_down, letters_across = max(map(len, rows)), max(map(len, columns))
    upright = 0.08 * letters_across if letters_across > 3 else 0.0
    cell = min(0.7, max(0.21, 4.2 / max(shape)))
    width = 2.2 + 0.08 * letters_down + shape[1] * max(cell, 0.3 if shape[1] < 20 else cell)
    return min(max(width, 4.6), 10.0), min(max(1.35 + upright + shape[0] * cell, 2.3), 8.0)


def _interactive(values: np.ndarray, title: str, limits: tuple[float, float], diverging: bool,
                 hover: str, size: tuple[float, float], *, rows: list[str], columns: list[str],
                 x_title: str, y_title: str, unit: str) -> dict[str, Any]:  # fmt: skip
    colours = colour_scale(diverging)
    steps = np.linspace(0, 1, len(colours))
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": _unlike(columns),
        "y": _unlike(rows),
        "z": rounded(values),
        "zmin": limits[0],
        "zmax": limits[1],
        "colorscale": [[round(float(s), 3), c] for s, c in zip(steps, colours, strict=True)],
        "colorbar": {
            "title": {"text": plotly_text(unit), "side": "right"},
            "thickness": 14,
            "ticksuffix": "  ",  # keeps the title off the numbers
        },
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": hover,
    }
    if values.size <= MAX_WRITTEN:
        trace["texttemplate"] = "%{z:.2g}"
    across = {"title": {"text": plotly_text(x_title)}, **_ticks(columns, 30), "showgrid": False}
    down = {"title": {"text": plotly_text(y_title)}, **_ticks(rows, 40), "showgrid": False}
    figure = layout(title, across, {**down, "autorange": "reversed"}, size, plot_bgcolor=GRID)
    return {"data": [trace], "layout": figure}


def _ticks(labels: list[str], most: int) -> dict[str, Any]:
    shown = _shown(len(labels), most)
    text = [plotly_text(labels[i]) for i in shown]
    return {"type": "category", "tickvals": shown, "ticktext": text}


def _unlike(labels: list[str]) -> list[str]:
    """Plotly merges rows of one name: a label that repeats gets its position."""
    plain = len(set(labels)) == len(labels)
    return [plotly_text(t if plain else f"{t} ({i})") for i, t in enumerate(labels)]


def _shown(length: int, most: int) -> list[int]:
    return list(range(0, length, -(-length // most)))


def _paint(canvas: Any, values: np.ndarray, limits: tuple[float, float], diverging: bool, *,
           rows: list[str], columns: list[str], x_title: str, y_title: str,
           unit: str) -> None:  # fmt: skip
    axes = canvas.add_subplot()
    image = paint_cells(axes, values, limits, diverging)
    across, down = _shown(len(columns), 30), _shown(len(rows), 40)
    slanted = max(map(len, columns)) > 3
    axes.set_xticks(across, [columns[i] for i in across], rotation=90 if slanted else 0)
    axes.set_yticks(down, [rows[i] for i in down])
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    canvas.colorbar(image, ax=axes, label=unit, pad=0.02, aspect=25)
    if values.size <= MAX_WRITTEN:
        _write_numbers(axes, values, limits, diverging)


def paint_cells(axes: Any, values: np.ndarray, limits: tuple[float, float], diverging: bool) -> Any:
    """Draw the cells with thin lines between them; missing values stay grey."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("course", colour_scale(diverging))
    axes.set_facecolor(GRID)
    image = axes.imshow(
        values, cmap=scale, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest"
    )
    rows, columns = values.shape
    axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=GRID, linewidth=0.5)
    axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=GRID, linewidth=0.5)
    axes.spines[:].set_visible(False)
    return image


def _write_numbers(axes: Any, values: np.ndarray, limits: tuple[float, float],
                   diverging: bool) -> None:  # fmt: skip
    low, high = limits
    for (row, column), value in np.ndenumerate(values):
        share = (value - low) / (high - low)
        dark = abs(share - 0.5) > 0.3 if diverging else share > 0.55
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=8,
                  color="white" if dark else INK)  # fmt: skip


def strongest(values: np.ndarray, most: int = MAX_LISTED) -> list[tuple[int, ...]]:
    """Indices of the entries with the largest absolute value, largest first, ties in order."""
    size = np.where(np.isfinite(values), np.abs(values), -1.0).ravel()
    order = np.argsort(-size, kind="stable")[:most]
    return [tuple(int(i) for i in np.unravel_index(index, values.shape)) for index in order]


def _as_text(values: np.ndarray, unit: str, cell_name: str, x_title: str, y_title: str, *,
             rows: list[str], columns: list[str]) -> str:  # fmt: skip
    if values.size <= MAX_WRITTEN:
        lines = ([r, *map(number, row)] for r, row in zip(rows, values, strict=True))
        return table([f"{y_title} \\ {x_title}", *columns], lines)
    listed = strongest(values)
    lines = [[cell_name.format(row=rows[i], column=columns[j]), number(values[i, j])]
             for i, j in listed]  # fmt: skip
    return table([f"strongest {len(listed)} of {values.size}", unit], lines)


def _describe(values: np.ndarray, x_title: str, y_title: str, unit: str, cell_name: str, *,
              rows: list[str], columns: list[str]) -> str:  # fmt: skip
    i, j = strongest(values, 1)[0]
    return (
        f"Heat map of {unit}: {len(rows)} rows ({y_title}) by {len(columns)} columns ({x_title}); "
        f"values from {number(np.nanmin(values))} to {number(np.nanmax(values))}, "
        f"strongest at {cell_name.format(row=rows[i], column=columns[j])}."
    )
