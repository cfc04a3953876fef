"""Every head of a model at once, each as a small picture of its attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, table
from circuits_course.plots.figure import Figure
from circuits_course.plots.heatmaps import paint_cells

GAP = 1  # cells between two thumbnails
LISTED = 8


def plot_thumbnails(patterns: Any, title: str) -> Figure:
    """Attention patterns [layer, head, q, k] of one prompt, a row of thumbnails for each layer."""
    values = as_array(patterns, "patterns", ndim=4)
    if values.shape[2] != values.shape[3]:
        raise CourseError(f"patterns must be [layer, head, q, k], got shape {list(values.shape)}.")
    layers, heads = values.shape[:2]
    return Figure(
        title=title,
        alt=(
            f"Thumbnails of {layers} layers of {heads} heads; in each, rows are queries and "
            "columns are keys. Below: the heads that attend least to the first token."
        ),
        table=_least_resting(values),
        numbers={"attention": values},
        paint=lambda canvas: _paint(canvas, values),
        size=(min(2.0 + 0.75 * heads, 10.5), min(1.2 + 0.7 * layers, 24.0)),
    )


def _paint(canvas: Any, values: np.ndarray) -> None:
    layers, heads, n_pos, _ = values.shape
    step = n_pos + GAP
    axes = canvas.subplots()
    # Lines between cells of three pixels would hide what is pale, and fill the file.
    paint_cells(axes, mosaic(values), (0.0, 1.0), diverging=False, ruled=False)
    middle = (n_pos - 1) / 2
    axes.set_xticks(middle + step * np.arange(heads), [str(head) for head in range(heads)])
    axes.set_yticks(middle + step * np.arange(layers), [str(layer) for layer in range(layers)])
    axes.set_xlabel("head")
    axes.set_ylabel("layer")


def mosaic(values: np.ndarray) -> np.ndarray:
    """Patterns [layer, head, q, k] side by side in one matrix, with grey lines between them."""
    layers, heads, n_pos, _ = values.shape
    step = n_pos + GAP
    cells = np.full((layers * step - GAP, heads * step - GAP), 0.35)
    for layer in range(layers):
        for head in range(heads):
            rows, columns = layer * step, head * step
            cells[rows : rows + n_pos, columns : columns + n_pos] = values[layer, head]
    return cells


def _least_resting(values: np.ndarray) -> str:
    """The heads whose queries give the first key the least: those that look at something."""
    resting = values[:, :, 1:, 0].mean(-1) if values.shape[2] > 1 else values[:, :, :, 0].mean(-1)
    order = np.argsort(resting.ravel(), kind="stable")[:LISTED]
    places = [divmod(int(i), values.shape[1]) for i in order]
    rows = [[f"{layer}.{head}", number(resting[layer, head])] for layer, head in places]
    return table(["head", "mean attention to the first token"], rows)
