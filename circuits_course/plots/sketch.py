"""A line chart as SVG in a millisecond: what a figure shows while it is still growing.

matplotlib needs 0.15 s for one picture, and plotly's JupyterLab renderer draws a figure once and
ignores what comes after. Inline SVG replaces itself without flicker. The finished figure comes
from `plot_lines`, in the same colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from circuits_course.plots.arrays import number
from circuits_course.plots.figure import GRID, INK, PALETTE

WIDTH, HEIGHT = 700, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 15, 40, 50


def sketch_lines(
    lines: Mapping[str, np.ndarray], title: str, *, x: tuple[str, np.ndarray], y: str
) -> str:
    """An SVG image of named lines over one x, (title, x[point]); gaps (NaN) are skipped."""
    x_title, xs = x
    finite = np.concatenate([y[np.isfinite(y)] for y in lines.values()])
    down = _ticks(finite.min(), finite.max()) if finite.size else np.array([0.0, 1.0])
    across = _ticks(xs[0], xs[-1])
    to_x, to_y = _scale(across, LEFT, WIDTH - RIGHT), _scale(down, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="14" y="20" font-size="15">{escape(title)}</text>',
        f'<text x="{WIDTH // 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_title)}</text>',
        f'<text transform="translate(14 {HEIGHT // 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y)}</text>",
    ]
    for tick in down:
        parts.append(_rule(LEFT, to_y(tick), WIDTH - RIGHT, to_y(tick)))
        parts.append(_label(LEFT - 6, to_y(tick) + 4, number(tick), "end"))
    for tick in across:
        parts.append(_rule(to_x(tick), TOP, to_x(tick), HEIGHT - BOTTOM))
        parts.append(_label(to_x(tick), HEIGHT - BOTTOM + 16, number(tick), "middle"))
    for index, (name, line) in enumerate(lines.items()):
        colour = PALETTE[index % len(PALETTE)]
        parts.append(_line(to_x(xs), to_y(line), colour))
        parts.append(_label(WIDTH - RIGHT - 6, TOP + 14 + 16 * index, name, "end", colour))
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> np.ndarray:
    """Four to nine round numbers that reach from below `low` to above `high`."""
    span = float(high - low) or abs(float(high)) or 1.0
    power = 10.0 ** np.floor(np.log10(span / 4))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 7)
    return np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step


def _scale(ticks: np.ndarray, start: float, end: float):
    low, high = ticks[0], ticks[-1]
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{GRID}"/>'


def _label(x: float, y: float, text: str, anchor: str, colour: str = INK) -> str:
    style = f'text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _line(xs: np.ndarray, ys: np.ndarray, colour: str) -> str:
    known = np.isfinite(ys)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs[known], ys[known], strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
