"""Heat maps: a score for every head, or any matrix with named rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits_course.plots.arrays import as_array, number, rounded, table, texts, visible
from circuits_course.plots.axes import Along, labels_along, title_and_values
from circuits_course.plots.figure import GRID, INK, Figure, colour_scale, layout, plotly_text

MAX_WRITTEN = 64  # up to this many cells, each has its number written in it
MAX_LISTED = 12
VANISHING = 1e-4  # of the largest value: drawn as 0


@dataclass(frozen=True)
class Grid:
    """A matrix [row, column] with the words that belong to it; `cell` and `hover` name a cell."""

    values: np.ndarray
    rows: list[str]
    columns: list[str]
    x_title: str
    y_title: str
    unit: str
    diverging: bool
    cell: str = "{row}, {column}"
    hover: str = "{y_title} %{{y}}<br>{x_title} %{{x}}"

    @property
    def limits(self) -> tuple[float, float]:
        """The values at both ends of the colour scale."""
        return colour_limits(self.values, self.diverging)

    @property
    def texts(self) -> list[list[str]]:
        """Every cell as text, with equal digits."""
        flat = iter(texts(self.values.ravel()))
        return [[next(flat) for _ in self.columns] for _ in self.rows]

    @property
    def settled(self) -> np.ndarray:
        """The values less what rounding leaves of a zero."""
        largest = np.nanmax(np.abs(self.values)) if np.isfinite(self.values).any() else 0.0
        return np.where(np.abs(self.values) < VANISHING * largest, 0.0, self.values)

    def name(self, index: tuple[int, ...]) -> str:
        """What a cell is called in words."""
        return self.cell.format(row=self.rows[index[0]], column=self.columns[index[1]])


def plot_heads(scores: Any, title: str, *, unit: str = "score", diverging: bool = False) -> Figure:
    """One score per head: layers down, heads across.

    scores: [layer, head]; unit names the colour scale; diverging for scores with a sign.
    """
    values = as_array(scores, "scores", ndim=2)
    rows, columns = ([str(i) for i in range(length)] for length in values.shape)
    words = {"cell": "head {row}.{column}", "hover": "head %{{y}}.%{{x}}"}
    return _heat_map(Grid(values, rows, columns, "head", "layer", unit, diverging, **words), title)


def plot_matrix(
    matrix: Any,
    title: str,
    *,
    x: Along,
    y: Along,
    unit: str = "value",
    diverging: bool = False,
) -> Figure:
    """Any matrix [row, column], or {name of a row: row}; the first row is drawn on top.

    x, y: the axis' title, or (title, labels); labels are words or heads, and may repeat.
    """
    (x_title, across), (y_title, down) = title_and_values(x), title_and_values(y)
    if isinstance(matrix, Mapping):
        down = list(matrix) if down is None else down
        matrix = [as_array(row, f"row {name!r}", ndim=1) for name, row in matrix.items()]
    values = as_array(matrix, "matrix", ndim=2)
    rows = _labels(down, values.shape[0], y_title)
    columns = _labels(across, values.shape[1], x_title)
    return _heat_map(Grid(values, rows, columns, x_title, y_title, unit, diverging), title)


def _labels(given: Any, length: int, title: str) -> list[str]:
    return [visible(name, 24) for name in labels_along(given, length, title)]


def _heat_map(grid: Grid, title: str) -> Figure:
    size = _size(grid)
    return Figure(
        title=title,
        alt=_describe(grid),
        table=_as_text(grid),
        numbers={grid.unit: grid.values},
        paint=lambda canvas: _paint(canvas, grid),
        size=size,
        plotly=_interactive(grid, title, size),
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


def _size(grid: Grid) -> tuple[float, float]:
    """Inches: cells stay near square and readable between 2 x 4 and 30 x 30."""
    rows, columns = grid.values.shape
    letters_down, letters_across = (max(map(len, names)) for names in (grid.rows, grid.columns))
    upright = 0.08 * letters_across if letters_across > 3 else 0.0
    cell = min(0.7, max(0.21, 4.2 / max(rows, columns)))
    width = 2.2 + 0.08 * letters_down + columns * max(cell, 0.3 if columns < 20 else cell)
    height = 1.35 + upright + rows * cell
    return min(max(width, 4.6), 10.0), min(max(height, 2.3), 8.0)


def _interactive(grid: Grid, title: str, size: tuple[float, float]) -> dict[str, Any]:
    colours = colour_scale(grid.diverging)
    steps = np.linspace(0, 1, len(colours))
    words = {"x_title": plotly_text(grid.x_title), "y_title": plotly_text(grid.y_title)}
    unit = plotly_text(grid.unit)
    low, high = grid.limits
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": _unlike(grid.columns),
        "y": _unlike(grid.rows),
        "z": rounded(grid.settled),
        "zmin": low,
        "zmax": high,
        "colorscale": [[round(float(s), 3), c] for s, c in zip(steps, colours, strict=True)],
        "colorbar": {
            "title": {"text": unit, "side": "right"},
            "thickness": 14,
            "ticksuffix": "  ",  # keeps the title off the numbers
        },
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": f"{grid.hover.format(**words)}<br>{unit} %{{z}}<extra></extra>",
    }
    if grid.values.size <= MAX_WRITTEN:
        trace["text"], trace["texttemplate"] = grid.texts, "%{text}"
    across = {"title": {"text": words["x_title"]}, **_ticks(grid.columns, 30), "showgrid": False}
    down = {"title": {"text": words["y_title"]}, **_ticks(grid.rows, 40), "showgrid": False}
    figure = layout(title, across, {**down, "autorange": "reversed"}, size, plot_bgcolor=GRID)
    return {"data": [trace], "layout": figure}


def _ticks(labels: list[str], most: int) -> dict[str, Any]:
    shown = _shown(len(labels), most)
    text = [plotly_text(labels[i]) for i in shown]
    # By name, not by index: plotly takes index 1 for the category "1" where there is one.
    places = _unlike(labels)
    return {"type": "category", "tickvals": [places[i] for i in shown], "ticktext": text}


def _unlike(labels: list[str]) -> list[str]:
    """Plotly merges rows of one name: a label that repeats gets its position."""
    plain = len(set(labels)) == len(labels)
    return [plotly_text(text if plain else f"{text} ({i})") for i, text in enumerate(labels)]


def _shown(length: int, most: int) -> list[int]:
    return list(range(0, length, -(-length // most)))


def _paint(canvas: Any, grid: Grid) -> None:
    axes = canvas.add_subplot()
    image = paint_cells(axes, grid.values, grid.limits, grid.diverging)
    across, down = _shown(len(grid.columns), 30), _shown(len(grid.rows), 40)
    slanted = max(map(len, grid.columns)) > 3
    axes.set_xticks(across, [grid.columns[i] for i in across], rotation=90 if slanted else 0)
    axes.set_yticks(down, [grid.rows[i] for i in down])
    axes.set_xlabel(grid.x_title)
    axes.set_ylabel(grid.y_title)
    canvas.colorbar(image, ax=axes, label=grid.unit, pad=0.02, aspect=25)
    if grid.values.size <= MAX_WRITTEN:
        _write_numbers(axes, grid)


def paint_cells(
    axes: Any,
    values: np.ndarray,
    limits: tuple[float, float],
    diverging: bool,
    *,
    ruled: bool = True,
) -> Any:
    """Draw the cells with thin lines between them (if `ruled`); missing values stay grey."""
    scale = colour_map(diverging)
    axes.set_facecolor(GRID)
    low, high = limits
    image = axes.imshow(
        values, cmap=scale, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )
    if ruled:
        rows, columns = values.shape
        axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=GRID, linewidth=0.5)
        axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=GRID, linewidth=0.5)
    axes.spines[:].set_visible(False)
    return image


def _write_numbers(axes: Any, grid: Grid) -> None:
    texts, (low, high), scale = grid.texts, grid.limits, colour_map(grid.diverging)
    for (row, column), value in np.ndenumerate(grid.values):
        ink = ink_on(scale((value - low) / (high - low)))
        style = {"ha": "center", "va": "center", "fontsize": 8, "color": ink}
        axes.text(column, row, texts[row][column], **style)


def colour_map(diverging: bool) -> Any:
    """The colour scale as matplotlib has it."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("course", colour_scale(diverging))


def ink_on(colour: tuple[float, ...]) -> str:
    """Black or white, whichever stands out more from a colour (WCAG's relative luminance)."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    light = sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))
    return "white" if 1.05 / (light + 0.05) > (light + 0.05) / 0.066 else INK


def strongest(values: np.ndarray, most: int = MAX_LISTED) -> list[tuple[int, ...]]:
    """Indices of the entries with the largest absolute value, largest first, ties in order."""
    size = np.where(np.isfinite(values), np.abs(values), -1.0).ravel()
    order = np.argsort(-size, kind="stable")[:most]
    return [tuple(int(i) for i in np.unravel_index(index, values.shape)) for index in order]


def _as_text(grid: Grid) -> str:
    if grid.values.size <= MAX_WRITTEN:
        pairs = zip(grid.rows, grid.texts, strict=True)
        lines = ([name, *row] for name, row in pairs)
        return table([f"{grid.y_title} \\ {grid.x_title}", *grid.columns], lines)
    listed = strongest(grid.values)
    said = texts(np.array([grid.values[index] for index in listed]))
    lines = ([grid.name(index), text] for index, text in zip(listed, said, strict=True))
    return table([f"strongest {len(listed)} of {grid.values.size}", grid.unit], lines)


def _describe(grid: Grid) -> str:
    rows, columns = grid.values.shape
    shape = f"{rows} rows ({grid.y_title}) by {columns} columns ({grid.x_title})"
    if not np.isfinite(grid.values).any():
        return f"Heat map of {grid.unit}: {shape}; every value is missing."
    return (
        f"Heat map of {grid.unit}: {shape}; values from {number(np.nanmin(grid.values))} to "
        f"{number(np.nanmax(grid.values))}, strongest at {grid.name(strongest(grid.values, 1)[0])}."
    )
