"""Reading half-way: the logit lens, a tuned lens, and a write that is taken back."""

from __future__ import annotations

from collections.abc import Sequence

from circuits_course.plots.arrays import visible
from circuits_course.plots.drawings.arrows import arrow
from circuits_course.plots.drawings.parts import block, chip, head, road
from circuits_course.plots.drawings.sheet import SMALL, Sheet

GUESSES = ((0, "?"), (10, "?"), (20, "?"), (30, "x"))


def logit_lens(
    token: str = " is",
    guesses: Sequence[tuple[int, str]] = GUESSES,
    shares: Sequence[float] = (),
) -> Sheet:
    """Exits from one lane. guesses: pairs of a state and its best next token, from below, up to
    five; shares: their probabilities."""
    sheet = Sheet(
        "The logit lens: leave the road early",
        "One token's lane. Between layers a copy leaves the lane and goes straight through the "
        "final norm and the unembedding: what would the model say if it stopped here? From "
        "below: "
        + ", ".join(f"state {layer} says {word.strip()!r}" for layer, word in guesses)
        + ".",
        height=370,
    )
    x, top, bottom = 130, 62, 292
    road(sheet, x, 318, top - 20)
    chip(sheet, x, 334, visible(token, 9))
    gap = (bottom - top) / max(len(guesses) - 1, 1)
    block(
        sheet, 330, (top + bottom) / 2, 130, bottom - top + 44, "final norm,\nunembedding", "blue"
    )
    for i, (layer, word) in enumerate(guesses):
        y = bottom - i * gap
        last = i == len(guesses) - 1
        sheet.text(108, y + 5, f"state {layer}", tone="soft", size=SMALL, anchor="end")
        sheet.mark("circle", cx=x, cy=y, r=5, fill="blue")
        arrow(sheet, (x, y), (265, y), "blue", weight=1.5, gap=(10, 3))
        arrow(sheet, (395, y), (446, y), "blue", gap=(0, 2))
        chip(sheet, 505, y, visible(word, 9), tone="green" if last else "", width=110)
        if len(shares) == len(guesses):
            sheet.text(572, y + 5, f"{shares[i]:.2f}", size=SMALL, anchor="start")
    sheet.text(505, 26, "its best guess", tone="soft", size=SMALL)
    return sheet


def tuned_lens() -> Sheet:
    """A learned map before the exit."""
    sheet = Sheet(
        "A tuned lens translates first",
        "Two exits from the same lane. The logit lens reads the vector as it is, as though it "
        "were already the last one. The tuned lens first applies a learned map, A x + b, which "
        "makes up for how that layer's vectors are turned and shifted.",
        height=270,
    )
    x = 70
    road(sheet, x, 212, 40)
    chip(sheet, x, 228, "x")
    for y, name, tuned in ((90, "tuned lens", True), (165, "logit lens", False)):
        sheet.mark("circle", cx=x, cy=y, r=5, fill="blue")
        if tuned:
            arrow(sheet, (x, y), (170, y), "orange", gap=(10, 2))
            block(sheet, 222, y, 100, 40, "A x + b", "orange")
            arrow(sheet, (272, y), (335, y), "orange", gap=(2, 2))
        else:
            arrow(sheet, (x, y), (335, y), "blue", weight=1.5, gap=(10, 2))
        block(sheet, 410, y, 150, 40, "norm, unembedding", "blue")
        arrow(sheet, (485, y), (530, y), "blue", gap=(2, 0))
        chip(sheet, 594, y, name, tone="green", width=110, size=SMALL)
    sheet.text(222, 54, "learned for this layer", tone="orange-ink", size=SMALL)
    return sheet


def written_and_erased() -> Sheet:
    """Two large shares that cancel."""
    sheet = Sheet(
        "Written, and taken back",
        "One lane. A lower layer writes plus w. A later layer reads it and writes minus w. At "
        "the top nothing of it is left, but each write, taken alone, has a large share in the "
        "final sum.",
        height=320,
    )
    x = 180
    road(sheet, x, 262, 66)
    chip(sheet, x, 278, "x")
    sheet.mark("path", d=f"M{x} 205V125", stroke="orange", stroke_width=10)
    for y, sign, tone, layer in (
        (210, "+ w", "orange", "writes"),
        (118, "− w", "blue", "reads it, takes it back"),
    ):
        head(sheet, x + 130, y, sign, tone)
        arrow(sheet, (x + 130, y), (x, y), tone, weight=3.5, gap=(21, 8))
        sheet.text(x + 160, y + 5, layer, tone=f"{tone}-ink", size=SMALL, anchor="start")
    arrow(sheet, (x, 160), (x + 130, 118), "blue", weight=1.5, bend=-0.12, gap=(8, 21))
    sheet.text(x - 18, 168, "w is here", tone="orange-ink", size=SMALL, anchor="end")
    sheet.text(x - 18, 92, "w is gone", tone="soft", size=SMALL, anchor="end")
    chip(sheet, x, 46, "logits", tone="green")
    sheet.text(
        x + 50,
        51,
        "+ w − w = 0: two large shares, no effect",
        tone="green-ink",
        size=SMALL,
        anchor="start",
    )
    return sheet
