"""Indirect object identification: which kinds of heads speak to which, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuits_course.plots.drawings.arrows import arrow, moves
from circuits_course.plots.drawings.fonts import text_width
from circuits_course.plots.drawings.parts import chip, road, step
from circuits_course.plots.drawings.sheet import SMALL, Sheet

PLACES = (("Mary", "IO"), ("John", "S1"), ("went", "S1+1"), ("John", "S2"), ("to", "END"))


@dataclass(frozen=True)
class Class:
    """A kind of head: its name, its place's index and height, its colour, and where it looks from
    which height."""

    name: str
    lane: int
    y: float
    tone: str
    looks: int
    start: float


def ioi_gpt2() -> Sheet:
    """GPT-2 small's circuit in one line of thought (Wang et al. 2022, figure 2)."""
    classes = (
        Class("previous token", 2, 285, "blue", 1, 312),
        Class("induction", 3, 240, "blue", 2, 264),
        Class("duplicate token", 3, 196, "blue", 1, 236),
        Class("S-inhibition", 4, 140, "orange", 3, 170),
        Class("name mover", 4, 88, "green", 0, 140),
    )
    sheet = _story(
        "How GPT-2 small finds the other name",
        "Five places of a prompt: IO, S1, S1+1, S2, END. Step 1, at S2: duplicate-token and "
        "induction heads see that John came twice; induction needs what previous-token heads "
        "wrote at S1+1. Step 2: S-inhibition heads carry this to END. Step 3: so the name "
        "movers turn away from John and copy Mary.",
        classes,
        (128, 100, "orange"),
    )
    step(sheet, 16, 240, 1, "John again", "blue")
    step(sheet, 16, 152, 2, "not John", "orange")
    step(sheet, 16, 96, 3, "copy Mary", "green")
    return sheet


def ioi_smollm2(
    suppressor: Sequence[str] = ("23.3",), inhibition: Sequence[str] = ("20.0", "19.2")
) -> Sheet:
    """The two roads measured in SmolLM2; the heads named are those of the shipped table."""
    classes = (
        Class("sees the repetition", 3, 262, "blue", 1, 304),
        Class(f"S-inhibition {', '.join(inhibition)}", 4, 200, "blue", 3, 234),
        Class("name movers", 4, 150, "green", 0, 206),
        Class(f"suppressor {', '.join(suppressor)}", 4, 92, "orange", 3, 138),
    )
    sheet = _story(
        "Two roads in SmolLM2",
        "Five places of a prompt: IO, S1, S1+1, S2, END. Road 1 is about place: heads at S2 "
        "see the repetition, S-inhibition carries to END at which place the subject stood, and "
        "the name movers copy the other name. Road 2 is about the name: a suppressor looks at "
        "S2 and writes against the name it finds there.",
        classes,
        (188, 162, "blue"),
    )
    step(sheet, 16, 200, 1, "the other\nplace", "blue")
    step(sheet, 16, 98, 2, "less John", "orange")
    return sheet


def _story(
    title: str, description: str, classes: Sequence[Class], hears: tuple[float, float, str]
) -> Sheet:
    """Places as lanes, classes as chips on them. hears: the heights between which the last lane
    carries what the name movers hear, and its colour."""
    sheet = Sheet(title, description, height=400)
    xs = [160.0, 262.0, 352.0, 452.0, 588.0]
    for x, (word, place) in zip(xs, PLACES, strict=True):
        road(sheet, x, 330, 60)
        chip(sheet, x, 347, word)
        sheet.text(x, 380, place, tone="soft", size=SMALL)
    sheet.mark("path", d=f"M{xs[4]} {hears[0]}V{hears[1]}", stroke=hears[2], stroke_width=10)
    for each in classes:
        width = text_width(each.name, SMALL) + 18
        x = min(xs[each.lane], sheet.width - width / 2 - 8)
        moves(
            sheet,
            (xs[each.looks], each.start),
            (x - width / 2, each.y),
            each.tone,
            share=0.3,
            bend=0.06,
        )
        chip(sheet, x, each.y, each.name, tone=each.tone, size=SMALL, width=width, bold=False)
    arrow(sheet, (xs[4], 74), (xs[4], 54), "green")
    chip(sheet, xs[4], 36, "Mary", tone="green")
    return sheet
