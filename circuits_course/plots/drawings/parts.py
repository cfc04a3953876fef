"""The signs that all drawings are made of; each means the same in every one.

Chips are tokens, a pale lane is a residual stream, a circle is a head, a chip with a dot is what
was written into a lane, a grid with named sides is a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from circuits_course.plots.arrays import visible
from circuits_course.plots.drawings.fonts import text_width
from circuits_course.plots.drawings.sheet import SMALL, TEXT, Point, Sheet

CHIP, HEAD = 30, 19  # a chip's height, a head's radius
LETTERS = 9  # of a token
HATCH = 7


def chip(
    sheet: Sheet,
    x: float,
    y: float,
    words: str,
    *,
    tone: str = "",
    size: int = TEXT,
    width: float = 0.0,
    bold: bool = True,
    dashed: bool = False,
) -> float:
    """A rounded box of one line, centred at (x, y); returns its width."""
    width = width or max(text_width(words, size, bold) + 20, 36)
    height = CHIP if size == TEXT else CHIP - 5
    sheet.mark(
        "rect",
        x=x - width / 2,
        y=y - height / 2,
        width=width,
        height=height,
        rx=7,
        fill=f"{tone}-wash" if tone else "chip",
        stroke=tone or "edge",
        stroke_width=2 if tone and size == TEXT else None,
        stroke_dasharray="5 4" if dashed else None,
    )
    ink = f"{tone}-ink" if tone else "ink"
    sheet.text(x, y + 5, words, tone=ink, size=size, bold=bold, halo=False)
    return width


def token_row(
    sheet: Sheet,
    tokens: Sequence[str],
    y: float,
    *,
    left: float = 0.0,
    right: float = 0.0,
    places: bool = True,
    marked: Sequence[int] = (),
) -> list[float]:
    """Chips at equal distances between left and right, positions below; returns their middles."""
    left, right = left or 80.0, right or sheet.width - 80.0
    step = (right - left) / max(len(tokens) - 1, 1)
    middles = [left + i * step for i in range(len(tokens))]
    for i, (x, token) in enumerate(zip(middles, tokens, strict=True)):
        tone = "orange" if i in marked else ""
        room = step - 6 if len(tokens) > 1 else 200
        word = _fitting(visible(token, LETTERS), room)
        chip(
            sheet,
            x,
            y,
            word,
            tone=tone,
            width=min(max(text_width(word, TEXT, True) + 18, 36), room),
        )
        if places:
            sheet.text(x, y + 33, str(i), tone="soft", size=SMALL)
    return middles


def _fitting(word: str, room: float) -> str:
    while len(word) > 2 and text_width(word, TEXT, True) + 10 > room:
        word = word[:-2] + "…"
    return word


def road(sheet: Sheet, x: float, bottom: float, top: float) -> None:
    """The residual stream of one token: a pale lane that leads up."""
    sheet.mark(
        "path",
        d=f"M{x:g} {bottom:g}V{top:g}",
        stroke="road",
        stroke_width=10,
        stroke_linecap="round",
        fill="none",
    )


def head(sheet: Sheet, x: float, y: float, name: str, tone: str = "", *, state: str = "") -> None:
    """A circle on a lane. state: "frozen" (hatched, kept at its clean value), "cut" (crossed)."""
    colour = "edge" if state == "frozen" else tone or "edge"
    sheet.mark("circle", cx=x, cy=y, r=HEAD, fill="bg", stroke=colour, stroke_width=3)
    if state == "frozen":
        hatch(sheet, x, y, HEAD - 2)
    ink = "soft" if state == "frozen" else f"{tone}-ink" if tone else "ink"
    size = SMALL if text_width(name, SMALL, True) <= 2 * HEAD - 4 else 12
    sheet.text(x, y + 5, name, tone=ink, size=size, bold=True, halo=state == "frozen")
    if state == "cut":
        side = HEAD * 0.72
        for sign in (1, -1):
            d = f"M{x - side:.1f} {y - sign * side:.1f}L{x + side:.1f} {y + sign * side:.1f}"
            sheet.mark("path", d=d, stroke="ink", stroke_width=2.5)


def hatch(sheet: Sheet, x: float, y: float, radius: float) -> None:
    """Slanted lines within a circle."""
    for offset in range(-int(radius), int(radius) + 1, HATCH):
        half = math.sqrt(max(radius**2 - offset**2, 0)) * math.sqrt(0.5)
        shift = offset * math.sqrt(0.5)
        start, end = (x + shift - half, y + shift + half), (x + shift + half, y + shift - half)
        d = f"M{start[0]:.1f} {start[1]:.1f}L{end[0]:.1f} {end[1]:.1f}"
        sheet.mark("path", d=d, stroke="edge", stroke_width=1)


def written(
    sheet: Sheet, x: float, y: float, words: str, tone: str = "", *, side: str = "right"
) -> Point:
    """A dot on a lane and beside it what was written there, in words; returns their middle."""
    width = text_width(words, SMALL) + 16
    middle = x + (width / 2 + 11) * (1 if side == "right" else -1)
    chip(sheet, middle, y, words, tone=tone, size=SMALL, width=width, bold=False)
    sheet.mark("circle", cx=x, cy=y, r=5, fill=tone or "edge")
    return middle, y


def step(
    sheet: Sheet, x: float, y: float, number: int, words: str, tone: str, *, anchor: str = "start"
) -> None:
    """A numbered remark: the digit in a disc, its words beside it (the digit left of them)."""
    size = SMALL
    lines = words.split("\n")
    width = max(text_width(line, size) for line in lines)
    left = {"start": x, "middle": x - width / 2 - 11, "end": x - width - 22}[anchor]
    sheet.mark("circle", cx=left + 8, cy=y - 5, r=9, fill=tone)
    sheet.text(left + 8, y, str(number), tone="bg", size=SMALL, bold=True, halo=False)
    sheet.text(left + 22, y, words, tone=f"{tone}-ink", size=size, anchor="start")


def block(
    sheet: Sheet, x: float, y: float, width: float, height: float, words: str, tone: str = ""
) -> None:
    """A part of the model as a box, centred at (x, y)."""
    sheet.mark(
        "rect",
        x=x - width / 2,
        y=y - height / 2,
        width=width,
        height=height,
        rx=5,
        fill=f"{tone}-wash" if tone else "chip",
        stroke=tone or "edge",
        stroke_width=2,
    )
    lines = words.split("\n")
    ink = f"{tone}-ink" if tone else "ink"
    sheet.text(x, y + 5 - 9 * (len(lines) - 1), words, tone=ink, size=SMALL, halo=False)


def matrix(
    sheet: Sheet,
    x: float,
    y: float,
    values: np.ndarray,
    tone: str = "blue",
    *,
    cell: float = 22.0,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    row_side: str = "",
    column_side: str = "",
    masked: np.ndarray | None = None,
) -> None:
    """A grid with its upper left corner at (x, y); squares grow with a cell's value (0 to 1).

    rows, columns: names of the single ones; row_side, column_side: what the two sides are;
    masked: cells that do not exist, struck through.
    """
    count, across = values.shape
    lines = [f"M{x:g} {y + i * cell:g}h{across * cell:g}" for i in range(count + 1)]
    lines += [f"M{x + j * cell:g} {y:g}v{count * cell:g}" for j in range(across + 1)]
    struck, filled = [], []
    for i, j in np.ndindex(count, across):
        left, top = x + j * cell, y + i * cell
        if masked is not None and masked[i, j]:
            struck.append(f"M{left:g} {top + cell:g}l{cell:g} {-cell:g}")
        elif values[i, j] > 0.02:
            side = (cell - 3) * math.sqrt(min(values[i, j], 1.0))
            inset = (cell - side) / 2
            corner = f"M{left + inset:.1f} {top + inset:.1f}"
            filled.append(f"{corner}h{side:.1f}v{side:.1f}h{-side:.1f}z")
    sheet.mark("path", d="".join(lines), stroke="road", fill="none")
    sheet.mark("path", d="".join(struck) or "M0 0", stroke="edge", fill="none")
    sheet.mark("path", d="".join(filled) or "M0 0", fill=tone)
    for i, name in enumerate(rows):
        sheet.text(x - 6, y + (i + 0.5) * cell + 5, name, size=SMALL, anchor="end")
    for j, name in enumerate(columns):
        sheet.text(x + (j + 0.5) * cell, y + count * cell + 16, name, size=SMALL)
    if row_side:
        sheet.text(x - 6, y - 8, row_side, tone="soft", size=SMALL, anchor="end")
    if column_side:
        below = y + count * cell + (34 if columns else 18)
        sheet.text(x + across * cell / 2, below, column_side, tone="soft", size=SMALL)
