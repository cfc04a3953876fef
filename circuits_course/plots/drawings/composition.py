"""Heads that build on heads: three compositions, the virtual head, one cut path."""

from __future__ import annotations

from collections.abc import Sequence

from circuits_course.plots.drawings.arrows import arrow, asks, moves
from circuits_course.plots.drawings.parts import chip, head, road, step, token_row
from circuits_course.plots.drawings.sheet import SMALL, Sheet


def three_compositions() -> Sheet:
    """Q-, K- and V-composition side by side."""
    sheet = Sheet(
        "Three ways to use what a lower head wrote",
        "Three pairs of lanes, each with a lower and a higher head; the orange arrow is what "
        "the lower head changed. Q: it wrote into the lane of who asks, and the question "
        "changes. K: into the lane of who is asked, and the answer to the question changes. V: "
        "into the same lane, and what is moved changes.",
        height=330,
    )
    for panel, (letter, words) in enumerate(
        (("Q", "another question"), ("K", "another answer"), ("V", "another thing moved"))
    ):
        left = 60 + panel * 224.0
        key, query = left, left + 120
        sheet.text((key + query) / 2, 28, f"{letter}-composition", bold=True)
        sheet.text((key + query) / 2, 310, words, tone="orange-ink", size=SMALL)
        for x, word in ((key, "key"), (query, "query")):
            road(sheet, x, 252, 56)
            chip(sheet, x, 268, word, bold=False, width=64)
        low = query if letter == "Q" else key
        asks(
            sheet,
            (query, 100),
            (key, 110),
            "orange" if letter != "V" else "edge",
            bend=-0.22,
            gap=(21, 8),
        )
        moves(
            sheet,
            (key, 140),
            (query, 100),
            "orange" if letter == "V" else "edge",
            share=0.45,
            bend=-0.14,
            gap=(0, 21),
        )
        sheet.mark(
            "path", d=f"M{low} 196V{112 if low == key else 122}", stroke="blue", stroke_width=6
        )
        head(sheet, low, 206, "low", "blue")
        head(sheet, query, 100, "high", "orange")
    return sheet


def virtual_head(
    tokens: Sequence[str] = ("q", "x", "b"), heads: Sequence[str] = ("a", "b")
) -> Sheet:
    """Two heads, one after another, act like a third. heads: the lower and the higher one."""
    sheet = Sheet(
        "A virtual head",
        f"Three tokens. Head {heads[0]} moves something from the first to the second, head "
        f"{heads[1]} moves that on to the third. Together they act like one head that looks "
        "from the third to the first, and that is nowhere in the weights.",
        height=320,
    )
    xs = token_row(sheet, tokens, 265, left=110, right=560)
    for x in xs:
        road(sheet, x, 248, 60)
    low, high = 190, 130
    moves(sheet, (xs[0], 222), (xs[1], low), "blue", share=0.6, bend=-0.1, gap=(0, 21))
    moves(sheet, (xs[1], 168), (xs[2], high), "orange", share=0.6, bend=-0.1, gap=(0, 21))
    head(sheet, xs[1], low, heads[0], "blue")
    head(sheet, xs[2], high, heads[1], "orange")
    arrow(sheet, (xs[0], 150), (xs[2], high), "green", dashed=True, bend=0.21, gap=(0, 21))
    sheet.text(xs[1], 24, "as if one head did both", tone="green-ink", size=SMALL)
    step(sheet, xs[0] + 24, 204, 1, "moves", "blue")
    step(sheet, xs[1] + 80, 212, 2, "moves it on", "orange")
    return sheet


def cut_path(
    sender: str = "0.3",
    reader: str = "1.3",
    letter: str = "k",
    others: Sequence[str] = ("1.0", "1.2"),
) -> Sheet:
    """One path is cut, all else runs. letter: what of the reader no longer hears it (q, k or v)."""
    sheet = Sheet(
        "Cut one path",
        f"Head {sender} writes into the lane and everyone above reads there. One reading is "
        f"cut: the {letter} of head {reader} no longer contains what {sender} wrote. Heads "
        f"{' and '.join(others)} still hear it.",
        height=320,
    )
    x = 150
    road(sheet, x, 256, 56)
    chip(sheet, x, 272, "x")
    moves(sheet, (x, 215), (x, 130), "blue", share=0.5, gap=(21, 0))
    for i, name in enumerate((reader, *others)):
        y = 70 + 62 * i
        cut = not i
        if cut:
            sheet.mark(
                "path",
                d=f"M{x + 8} 130C{x + 100} 130 {x + 160} {y} 372 {y}",
                fill="none",
                stroke="orange",
                stroke_width=2.5,
                stroke_dasharray="5 5",
            )
            for sign in (1, -1):
                sheet.mark(
                    "path",
                    d=f"M266 {94 - 11 * sign}L288 {94 + 11 * sign}",
                    stroke="ink",
                    stroke_width=3,
                )
        else:
            moves(
                sheet, (x + 8, 130), (400, y), "blue", share=0.3, bend=0.02 * (2 - i), gap=(0, 21)
            )
        head(sheet, 400, y, name, "orange" if cut else "")
    sheet.text(432, 66, f"its {letter} runs without", tone="orange-ink", size=SMALL, anchor="start")
    sheet.text(432, 84, f"what {sender} wrote", tone="orange-ink", size=SMALL, anchor="start")
    sheet.text(432, 168, "all others still hear it", tone="blue-ink", size=SMALL, anchor="start")
    head(sheet, x, 215, sender, "blue")
    sheet.text(x + 32, 220, "writes as ever", tone="blue-ink", size=SMALL, anchor="start")
    return sheet
