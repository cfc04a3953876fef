"""Attention on tokens: circuitsvis where a notebook is live, small multiples where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, number, rounded, table, visible
from circuits_course.plots.figure import Figure
from circuits_course.plots.heatmaps import paint_cells

MAX_PANELS = 12
TICK = 8  # points: letters at an axis, and what a line of them needs
LISTED_PER_HEAD = 3


def plot_attention(
    tokens: Sequence[str],
    pattern: Any,
    title: str,
    *,
    head_names: Sequence[str] | None = None,
    unit: str = "attention probability",
) -> Figure:
    """Attention patterns of one prompt: hover over a head to enlarge it, over a cell to read it.

    tokens: one string per position; pattern: [head, q, k], rows (queries) sum to 1;
    head_names: such as "1.0" for layer 1, head 0 (0, 1, 2, ... by default). unit: what a cell is.
    The interactive view is circuitsvis (Cooney and Nanda); the still one shows up to 12 heads.
    """
    values = as_array(pattern, "pattern", ndim=3)
    heads, queries, keys = values.shape
    if not len(tokens) == queries == keys:
        raise CourseError(
            f"pattern has shape {list(values.shape)} [head, q, k] but there are {len(tokens)} "
            "tokens: one prompt, and as many rows and columns as tokens."
        )
    names = [str(name) for name in (range(heads) if head_names is None else head_names)]
    if len(names) != heads:
        raise CourseError(f"head_names has {len(names)} names for {heads} heads.")
    words = [str(token) for token in tokens]
    labels = [visible(word, 10) for word in words]
    return Figure(
        title=title,
        alt=_describe(heads, labels),
        table=_strongest_links(values, labels, names, unit),
        numbers={"attention": values},
        paint=lambda canvas: _paint(canvas, values, labels, names, unit),
        size=_size(heads, labels),
        live=lambda: _live(title, words, values, names),
    )


def _live(title: str, words: list[str], values: np.ndarray, names: list[str]) -> Any:
    from circuits_course.page.widget_views import AttentionView

    return AttentionView(
        title=title,
        tokens=[visible(word, 20) for word in words],  # circuitsvis would drop spaces and breaks
        pattern=rounded(values.round(3)),
        head_names=names,
        causal=bool(np.allclose(np.triu(values, 1), 0)),
    )


def _grid(heads: int) -> tuple[int, int]:
    panels = min(heads, MAX_PANELS)
    columns = (1, 2, 3, 4, 3, 3, 4, 4, 5, 5, 4, 4)[panels - 1]
    return -(-panels // columns), columns


def _side(heads: int, labels: list[str]) -> float:
    """Inches that one pattern is wide and high, before the picture is fitted to a page."""
    _, columns = _grid(heads)
    widest = 4.0 if columns <= 2 else 9.6 / columns
    return min(max(0.2 * len(labels), 1.5), widest)


def _size(heads: int, labels: list[str]) -> tuple[float, float]:
    rows, columns = _grid(heads)
    side = _side(heads, labels)
    letters = 0.075 * max(map(len, labels))
    width = columns * side + letters + 1.6
    return min(max(width, 4.6), 10.5), min(rows * (side + 0.3) + letters + 0.9, 10.0)


def _paint(canvas: Any, values: np.ndarray, labels: list[str], names: list[str], unit: str) -> None:
    rows, columns = _grid(len(names))
    panels = canvas.subplots(rows, columns, squeeze=False)
    drawn = min(len(names), MAX_PANELS)
    room = max(int(_side(len(names), labels) * 72 / (1.3 * TICK)), 1)
    places = np.arange(0, len(labels), -(-len(labels) // room))
    image = None
    for index, axes in enumerate(panels.flat):
        if index >= drawn:
            axes.set_visible(False)
            continue
        image = paint_cells(axes, values[index], (0.0, 1.0), diverging=False)
        axes.set_title(f"head {names[index]}", fontsize=9)
        across = places if index + columns >= drawn else places[:0]
        down = places if index % columns == 0 else places[:0]
        axes.set_xticks(across, [labels[i] for i in across], rotation=90, fontsize=TICK)
        axes.set_yticks(down, [labels[i] for i in down], fontsize=TICK)
    canvas.colorbar(image, ax=panels, label=unit, pad=0.01, fraction=0.05, aspect=30)
    canvas.supxlabel("key: the token attended to", fontsize=9)
    canvas.supylabel("query: the token that looks", fontsize=9)


def _strongest_links(values: np.ndarray, labels: list[str], names: list[str], unit: str) -> str:
    """Per head, the queries that look hardest; self-attention and the first key come last."""
    inner = values.copy()
    inner[:, :, 0] *= 1e-3
    diagonal = np.arange(len(labels))
    inner[:, diagonal, diagonal] *= 1e-3
    rows = []
    for head, name in enumerate(names[:MAX_PANELS]):
        order = np.argsort(-inner[head].ravel(), kind="stable")[:LISTED_PER_HEAD]
        for q, k in zip(*np.unravel_index(order, inner[head].shape), strict=True):
            rows.append(
                [name, f"{labels[q]} ({q})", f"{labels[k]} ({k})", number(values[head, q, k])]
            )
    return table(["head", "query (position)", "key (position)", unit], rows)


def _describe(heads: int, labels: list[str]) -> str:
    more = f" (the first {MAX_PANELS} are drawn)" if heads > MAX_PANELS else ""
    return (
        f"Attention patterns of {heads} heads{more} on {len(labels)} tokens; rows are queries, "
        f"columns are keys. Below: each head's strongest links to another token than the first."
    )
