"""A circuit as SVG, every head a part of its own: what a script can make choosable.

The same places, lines and words as in the still picture, in the colours of the drawings, which
follow the page's theme.
"""

from __future__ import annotations

import html

import numpy as np

from circuits_course.plots.circuit_drawing import frame, width_of
from circuits_course.plots.circuit_layout import ENDS, LANE, ROW, Arrow, Circuit, Node
from circuits_course.plots.circuit_words import BELOW, SIDE, place_words, words_of
from circuits_course.plots.drawings.parts import chip, head
from circuits_course.plots.drawings.sheet import Sheet

INCH = 94  # pixels
NAMES = 64  # pixels left of the lanes, for the layers' names
SIZE = 11  # of letters
TIP = 9


class CircuitSheet:
    """The drawing: `svg`, and the pixels at which every node stands, {name: (x, y)}."""

    def __init__(self, circuit: Circuit, title: str, description: str) -> None:
        (self.left, right), (low, self.high) = frame(circuit)
        width = NAMES + (right - self.left) * LANE * INCH
        height = (self.high - low) * ROW * INCH
        self.sheet = Sheet(title, description, round(height), round(width))
        self.places = {name: self._at(node.x, node.y) for name, node in circuit.nodes.items()}
        self._lanes(circuit)
        sides, spots = place_words(circuit)
        for arrow in circuit.arrows:
            self._arrow(arrow)
        for name, node in circuit.nodes.items():
            self._node(node, sides.get(name))
        for index, spot in spots.items():
            self._text(*self._at(*spot), circuit.arrows[index].says)

    @property
    def svg(self) -> str:
        """As a group of parts: a picture (`img`) would hide them from who cannot see it."""
        return self.sheet.svg.replace('role="img"', 'role="group"', 1)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across, up = NAMES + (x - self.left) * LANE * INCH, (self.high - y) * ROW * INCH
        return round(across, 1), round(up, 1)

    def _text(self, x: float, y: float, words: str, anchor: str = "middle", lines: int = 1) -> None:
        top = y + SIZE * 0.35 - (lines - 1) * (SIZE + 4) / 2
        self.sheet.text(x, top, words, size=SIZE, anchor=anchor)

    def _lanes(self, circuit: Circuit) -> None:
        for lane, x in circuit.lanes.items():
            across, _ = self._at(x, 0)
            wide, tall = 0.6 * LANE * INCH, self.sheet.height
            self.sheet.mark("rect", x=across - wide / 2, y=0, width=wide, height=tall, fill="chip")
            self.sheet.text(across, 14, lane, size=SIZE, bold=True)
        for row, y in circuit.rows.items():
            self._text(2, self._at(0, y)[1], row, anchor="start")

    def _arrow(self, arrow: Arrow) -> None:
        points = np.array([self._at(*point) for point in arrow.points])
        tone = "road" if arrow.faint else "blue" if arrow.effect >= 0 else "orange"
        width = width_of(arrow)
        long, half = TIP + width, (TIP + width) / 2.4
        end = points[-1]
        line = points[np.hypot(*(points - end).T) > long]
        along = (end - line[-1]) / np.hypot(*(end - line[-1]))
        aside = np.array([-along[1], along[0]])
        base = end - long * along
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in [*line, base])
        group = f'<g class="path" data-from="{arrow.source}" data-to="{arrow.target}">'
        self.sheet.marks.append(group)
        self.sheet.mark(
            "path", d=d, fill="none", stroke=tone, stroke_width=round(width, 1),
            stroke_dasharray=None if arrow.effect >= 0 else "7 4",
        )  # fmt: skip
        tip = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in (end, base + half * aside, base - half * aside)
        )
        self.sheet.mark("polygon", points=tip, fill=tone)
        self.sheet.marks.append("</g>")

    def _node(self, node: Node, side: tuple[int, int] | None) -> None:
        x, y = self.places[node.name]
        if node.name in ENDS:
            chip(self.sheet, x, y, node.name)
            return
        named = html.escape(" ".join([node.name, *words_of(node)]))
        self.sheet.marks.append(f'<g class="node" data-node="{node.name}" aria-label="{named}">')
        head(self.sheet, x, y, node.name)
        self.sheet.marks.append("</g>")
        if side:
            lines = words_of(node)
            shift = (SIDE * side[0] * INCH, BELOW * side[1] * INCH)
            middle = y - shift[1] - side[1] * len(lines) * (SIZE + 4) / 2
            anchor = "start" if side[0] > 0 else "end"
            self._text(x + shift[0], middle, "\n".join(lines), anchor, len(lines))
