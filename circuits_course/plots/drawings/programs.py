"""Heads as little programs: routing, lookup, aggregation, filtering."""

from __future__ import annotations

import numpy as np

from circuits_course.plots.drawings.arrows import arrow, asks, moves
from circuits_course.plots.drawings.parts import chip, head, matrix, road, step, token_row, written
from circuits_course.plots.drawings.sheet import SMALL, Sheet

WORD = ("BOS", "b", "e", "d", "a")
VOWELS = "aeiou"


def routing(offset: int = 2) -> Sheet:
    """Looking a fixed number of places back. offset: 1 to 3."""
    tokens = ("a", "b", "c", "d")
    wanted = len(tokens) - 1 - offset
    sheet = Sheet(
        "Routing: look so many back",
        "Over the tokens a b c d. Every key says which position it is. The query at position 3 "
        f"says: I want {wanted}. So the head moves {tokens[wanted]} to the end, whatever symbol "
        "stands there.",
        height=300,
    )
    xs = token_row(sheet, tokens, 245, left=110, right=560)
    for i, x in enumerate(xs):
        road(sheet, x, 228, 66)
        if i < 3:
            written(sheet, x, 150, f"I am {i}", "blue" if i == wanted else "", side="left")
    y = 110
    asks(sheet, (xs[3], y), (xs[wanted], 150), "blue", bend=-0.16, gap=(21, 8))
    moves(sheet, (xs[wanted], 210), (xs[3], y), "orange", bend=-0.1, gap=(0, 21))
    head(sheet, xs[3], y, "", "orange")
    sheet.text(xs[3] + 28, y - 5, f"I want {wanted}:", tone="blue-ink", anchor="start", size=SMALL)
    sheet.text(xs[3] + 28, y + 13, f"3 − {offset}", tone="blue-ink", anchor="start", size=SMALL)
    chip(sheet, xs[3], 45, tokens[wanted], tone="green")
    sheet.text(xs[3] - 28, 50, "moved here", tone="soft", size=SMALL, anchor="end")
    return sheet


def lookup() -> Sheet:
    """A table in the output matrix."""
    sheet = Sheet(
        "Lookup: the table is in the weights",
        "A head that looks at its own position. W_V lights up a row of the table for the "
        "symbol b, and that row of W_O says c. The table is in what the head moves, not in "
        "where it looks.",
        height=300,
    )
    x = 110
    road(sheet, x, 240, 70)
    chip(sheet, x, 256, "b")
    chip(sheet, x, 50, "c", tone="green")
    head(sheet, x, 150, "", "orange")
    sheet.mark(
        "path",
        d=f"M{x - 14} 168C{x - 70} 210 {x - 70} 110 {x - 16} 137",
        fill="none",
        stroke="blue",
        stroke_width=2.5,
        stroke_dasharray="1 6",
        stroke_linecap="round",
    )
    step(sheet, x + 30, 205, 1, "looks where it stands", "blue")
    table = np.zeros((4, 4))
    for row, column in enumerate((1, 2, 3, 0)):
        table[row, column] = 1
    left, top, cell = 380.0, 78.0, 34.0
    matrix(
        sheet,
        left,
        top,
        table,
        "orange",
        cell=cell,
        rows="abcd",
        columns="abcd",
        row_side="read",
        column_side="said",
    )
    sheet.mark(
        "rect",
        x=left - 2,
        y=top + cell - 2,
        width=4 * cell + 4,
        height=cell + 4,
        fill="none",
        stroke="ink",
        stroke_width=2.5,
    )
    arrow(sheet, (x, 150), (left - 26, top + 1.5 * cell), "orange", weight=3, gap=(21, 0))
    sheet.text(left + 2 * cell, 46, "W_OV: the table", tone="orange-ink", bold=True)
    step(sheet, 245, 112, 2, "reads b, says c", "orange", anchor="middle")
    return sheet


def aggregation() -> Sheet:
    """A mean over everything that came before."""
    sheet = Sheet(
        "Aggregation: a running mean",
        "Over BOS b e d a. The head looks at all symbols alike, a quarter each, and at BOS not "
        "at all. Each brings 1 if it is a vowel, else 0. What arrives is the mean: two of "
        "four, one half.",
        height=310,
    )
    xs = token_row(sheet, WORD, 250, left=90, right=590)
    y = 120
    for i, x in enumerate(xs):
        road(sheet, x, 233, 70)
        if i:
            chip(
                sheet,
                x,
                196,
                "1" if WORD[i] in VOWELS else "0",
                tone="blue" if WORD[i] in VOWELS else "",
                size=SMALL,
                width=30,
            )
            if i < 4:
                moves(sheet, (x, 182), (xs[4], y), "orange", share=0.25, bend=0.1, gap=(2, 21))
    moves(sheet, (xs[4], 182), (xs[4], y), "orange", share=0.25, gap=(2, 21))
    head(sheet, xs[4], y, "", "orange")
    sheet.text(xs[0], 196, "left out", tone="soft", size=SMALL)
    sheet.text(xs[1] + 20, 118, "a quarter of each", tone="orange-ink", size=SMALL)
    chip(sheet, xs[4], 45, "2/4", tone="green")
    sheet.text(xs[4] - 32, 50, "share of vowels", tone="soft", size=SMALL, anchor="end")
    return sheet


def filtering() -> Sheet:
    """Attention only where a feature is on."""
    sheet = Sheet(
        "Filtering: attend only where",
        "Twice the same head. Left, over BOS b e d a: it looks at the vowels e and a, half "
        "each, and at nothing else. Right, over BOS b c d: there is no vowel, and all of its "
        "attention rests on BOS.",
        height=300,
    )
    for tokens, left, right, title in (
        (WORD, 50, 330, "two vowels there"),
        (("BOS", "b", "c", "d"), 430, 630, "no vowel there"),
    ):
        xs = token_row(sheet, tokens, 250, left=left, right=right)
        sheet.text((left + right) / 2, 30, title, bold=True)
        for x in xs:
            road(sheet, x, 233, 66)
        found = [i for i, token in enumerate(tokens) if token in VOWELS] or [0]
        share = 1 / len(found)
        for i in found:
            bend = 0.0 if i == len(tokens) - 1 else 0.12
            start, end = (xs[i], 200), (xs[-1], 100)
            moves(sheet, start, end, "orange", share=share, bend=bend, gap=(0, 21))
            word = "all" if share == 1 else f"{share:.1f}"
            chip(sheet, xs[i], 214, word, tone="orange", size=SMALL, width=34)
        head(sheet, xs[-1], 100, "", "orange")
    return sheet
