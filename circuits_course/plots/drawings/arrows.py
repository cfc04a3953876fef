"""Arrows: solid for what is moved, dotted for what is asked, and the curve both follow."""

from __future__ import annotations

import math
from typing import Any

from circuits_course.plots.drawings.sheet import Point, Sheet

TIP = 9.0
THICKEST, THINNEST = 6.0, 1.2


def moves(sheet: Sheet, start: Point, end: Point, tone: str, *, share: float = 0.5, **more) -> None:
    """A solid arrow. share: attention from 0 to 1, drawn as thickness. more: see `arrow`."""
    arrow(sheet, start, end, tone, weight=_thickness(share), **more)


def asks(sheet: Sheet, start: Point, end: Point, tone: str, **more) -> None:
    """A dotted arrow from who asks to who is asked. more: see `arrow`."""
    arrow(sheet, start, end, tone, weight=2.5, dotted=True, **more)


def arrow(
    sheet: Sheet,
    start: Point,
    end: Point,
    tone: str,
    *,
    weight: float = 2.5,
    dotted: bool = False,
    dashed: bool = False,
    bend: float = 0.0,
    gap: tuple[float, float] = (0.0, 0.0),
) -> None:
    """One arrow. bend: how far its middle lies to the left of the straight line, seen from the
    start (a share of the length); gap: what is left free at both ends."""
    across, down = end[0] - start[0], end[1] - start[1]
    middle = (start[0] + end[0]) / 2 + bend * down, (start[1] + end[1]) / 2 - bend * across
    control = tuple(2 * m - (a + b) / 2 for m, a, b in zip(middle, start, end, strict=True))
    tip = TIP + weight
    first = _towards(start, control if bend else end, gap[0])
    last = _towards(end, control if bend else start, gap[1])
    if not bend:
        control = first
    neck = _towards(last, control, tip * 0.8)
    sheet.mark(
        "path",
        d=f"M{_at(first)}Q{_at(control)} {_at(neck)}",
        fill="none",
        stroke=tone,
        stroke_width=round(weight, 1),
        stroke_dasharray="1 6" if dotted else "9 6" if dashed else None,
        stroke_linecap="round" if dotted else None,
    )
    sheet.mark("path", d=_triangle(last, control, tip), fill=tone)


def loop(sheet: Sheet, at: Point, tone: str, *, share: float = 0.5) -> None:
    """A head that looks where it stands: a loop above a token. share: as in `moves`."""
    x, y = at
    d = f"M{x - 9:.1f} {y:g}C{x - 14:.1f} {y - 39:g} {x + 14:.1f} {y - 39:g} {x + 9:.1f} {y:g}"
    sheet.mark("path", d=d, fill="none", stroke=tone, stroke_width=round(_thickness(share), 1))


def _thickness(share: Any) -> float:
    return THINNEST + (THICKEST - THINNEST) * min(max(float(share), 0.0), 1.0)


def _towards(start: Point, end: tuple[float, ...], length: float) -> Point:
    across, down = end[0] - start[0], end[1] - start[1]
    share = length / (math.hypot(across, down) or 1.0)
    return start[0] + across * share, start[1] + down * share


def _triangle(end: Point, control: tuple[float, ...], length: float) -> str:
    base = _towards(end, control, length)
    across, down = (end[0] - base[0]) * 0.5, (end[1] - base[1]) * 0.5
    left, right = (base[0] - down, base[1] + across), (base[0] + down, base[1] - across)
    return f"M{_at(end)}L{_at(left)}L{_at(right)}z"


def _at(point: tuple[float, ...]) -> str:
    return " ".join(f"{value:.1f}".removesuffix(".0") for value in point)
