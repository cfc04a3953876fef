"""One step of a walk through a circuit, over the tokens: lanes, heads, arrows, what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from circuits_course.plots.arrays import table, visible
from circuits_course.plots.figure import INK, PALETTE, Figure

LOW, HELD, HIGH, TOP = 1.5, 2.2, 3.0, 4.0  # heights: lower heads, what is written, higher, logits
LANE, PALE = "#e3e8ee", "#8c8c8c"
BLUE, ORANGE, GREEN = PALETTE[:3]
LETTERS = 88  # of the sentence on a line
Step = Mapping[str, Any]


def plot_walk_step(steps: Sequence[Step], number: int, *, cut: bool = False) -> Figure:
    """Step `number` (from 1) of a walk, with what the steps before it have drawn.

    steps: as `circuits.walk_induction(model, prompt)` returns them. cut: the walk in which the
    second step is cut: its head is crossed out.
    """
    done = [step["cut"] if cut else step for step in steps[:number]]
    here = done[-1]
    words = [visible(str(word), 10) for word in here["tokens"]]
    rows = [
        [f"{arrow['head']}", f"{words[arrow['from']]} ({arrow['from']})",
         f"{words[arrow['to']]} ({arrow['to']})", f"{arrow['attention']:.2f}"]
        for step in done for arrow in step["arrows"]
    ]  # fmt: skip
    said = [[visible(str(word)), "", "", f"{share:.2f}"] for word, share in here["says"]]
    head = ["head, or next token", "from", "to", "attention, or probability"]
    shares = [arrow["attention"] for step in done for arrow in step["arrows"]]
    return Figure(
        title=f"Step {number} of {len(steps)}: {here['title']}" + (", step 2 cut" if cut else ""),
        alt=str(here["sentence"]),
        table=table(head, rows + said),
        numbers={"attention": np.array(shares or [0.0])},
        paint=lambda canvas: _paint(canvas, done, words),
        size=(min(max(0.62 * len(words) + 1.4, 6.0), 10.5), 4.6),
    )


def _paint(canvas: Any, done: Sequence[Step], words: Sequence[str]) -> None:
    axes = canvas.add_subplot()
    axes.set_xlim(-0.9, len(words) - 0.1)
    axes.set_ylim(-0.45, TOP + 0.55)
    axes.axis("off")
    for place, word in enumerate(words):
        axes.plot([place, place], [0.35, TOP - 0.3], color=LANE, linewidth=9, zorder=0)
        _chip(axes, place, 0, word, INK, size=9 if len(words) < 12 else 7.5)
        axes.text(place, -0.38, str(place), ha="center", fontsize=8, color="#5a5a5a")
    for step, draw in zip(done[1:], (_lower, _held, _higher, _said), strict=False):
        draw(axes, step)
    sentence = "\n".join(wrap(str(done[-1]["sentence"]), LETTERS))
    canvas.supxlabel(sentence, fontsize=10, x=0.02, ha="left", color=INK)


def _lower(axes: Any, step: Step) -> None:
    for arrow in step["arrows"]:
        _moves(axes, (arrow["from"], 0.32), (arrow["to"], LOW), arrow["attention"], BLUE)
    place, name = step["head"]
    _head(axes, place, LOW, name, BLUE, crossed=not step["arrows"])


def _held(axes: Any, step: Step) -> None:
    for place, words in step["holds"]:
        _chip(axes, place, HELD, words, BLUE, size=8)


def _higher(axes: Any, step: Step) -> None:
    place, name = step["head"]
    for arrow in step["arrows"]:
        asked = {"arrowstyle": "-|>", "linestyle": ":", "color": ORANGE, "linewidth": 1.6}
        asked |= {"connectionstyle": "arc3,rad=0.3", "shrinkA": 14, "shrinkB": 12}
        axes.annotate("", (arrow["from"], HELD), (place, HIGH), arrowprops=asked, zorder=3)
        _moves(axes, (arrow["from"], HELD - 0.35), (place, HIGH), arrow["attention"], ORANGE)
    _head(axes, place, HIGH, name, ORANGE)


def _said(axes: Any, step: Step) -> None:
    place = len(step["tokens"]) - 1
    lines = [f"{visible(str(word), 10)}  {share:.2f}" for word, share in step["says"]]
    if lines:
        _chip(axes, place, TOP, lines[0], GREEN, size=10)
        words = f"predicted next (then {', '.join(lines[1:])})"
        axes.text(place - 0.85, TOP, words, ha="right", va="center", fontsize=8, color="#5a5a5a")


def _moves(
    axes: Any, start: tuple[float, float], end: tuple[float, float], share: float, colour: str
) -> None:
    """A solid arrow, as thick as its attention."""
    width = 0.8 + 4.2 * share
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": width}
    arrow |= {"shrinkA": 0, "shrinkB": 15, "mutation_scale": 12}
    arrow["connectionstyle"] = "arc3,rad=0.12"
    axes.annotate("", end, start, arrowprops=arrow, zorder=2)
    middle = (start[0] + end[0]) / 2 + 0.25, (start[1] + end[1]) / 2 - 0.12
    back = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    axes.text(*middle, f"{share:.2f}", fontsize=8, color=INK, bbox=back, zorder=4)


def _head(axes: Any, x: float, y: float, name: str, colour: str, crossed: bool = False) -> None:
    edge = PALE if crossed else colour
    box = {"boxstyle": "circle,pad=0.3", "facecolor": "white", "edgecolor": edge, "linewidth": 2}
    style: Any = {"ha": "center", "va": "center", "fontsize": 9, "zorder": 5}
    axes.text(x, y, name, color=INK, bbox=box, **style)
    if crossed:
        axes.plot([x], [y], marker="x", markersize=26, color=ORANGE, markeredgewidth=1.5, zorder=4)


def _chip(axes: Any, x: float, y: float, words: str, colour: str, size: float) -> None:
    box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": colour}
    style: Any = {"ha": "center", "va": "center", "fontsize": size, "color": INK, "zorder": 5}
    axes.text(x, y, words, bbox=box, **style)
