"""Looking back: the previous-token head, and induction in two steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array
from circuits_course.plots.drawings.arrows import asks, moves
from circuits_course.plots.drawings.parts import chip, head, matrix, road, step, token_row, written
from circuits_course.plots.drawings.sheet import SMALL, Sheet

QXBQ = ("BOS", "q", "x", "b", "q")


def induction_two_steps(
    tokens: Sequence[str] = QXBQ,
    heads: Sequence[str] = ("0.3", "1.3"),
    patterns: Sequence[Any] = (),
    probability: float | None = None,
) -> Sheet:
    """Induction over tokens of which the last stood before.

    tokens: four to eight. heads: the previous-token head and the induction head; patterns: their
    attention, [q, k] each. probability: the model's, of what followed as the next token.
    """
    place = _followed(tokens)
    again, after = tokens[-1].strip(), tokens[place].strip()
    sheet = Sheet(
        "Induction over two layers",
        f"Over the tokens {' '.join(tokens)}. Step 1, in a lower layer: head {heads[0]} at {after} "
        f"looks one token back and writes into the lane of {after} that it comes after {again}. "
        f"Step 2, in a higher layer: head {heads[1]} at the last {again} asks who comes after "
        f"{again} and finds {after}. Step 3: it moves {after} to the end, where it is predicted.",
        height=400,
    )
    shares = [0.95, 0.9]
    if len(patterns):
        low_pattern, high_pattern = (as_array(p, "a pattern", ndim=2) for p in patterns)
        shares = [low_pattern[place, place - 1], high_pattern[-1, place]]
    xs = token_row(sheet, tokens, 345)
    low, high, top = 250, 135, 62
    for x in xs:
        road(sheet, x, 328, top + 18)
    for y, name in ((low, heads[0]), (high, heads[1])):
        layer = f"layer {name.split('.')[0]}"
        sheet.text(12, y + 5, layer, tone="soft", size=SMALL, anchor="start")
    before, here, last = xs[place - 1], xs[place], xs[-1]
    moves(sheet, (before, 300), (here, low), "blue", share=shares[0], bend=-0.12, gap=(0, 21))
    head(sheet, here, low, heads[0], "blue")
    written(sheet, here, 205, f"I come after {again}", "blue")
    step(sheet, here + 30, 277, 1, "looks one back and\nwrites what stood there", "blue")
    bend = -min(0.24, 62 / (last - here))  # an arc no higher than its remark
    asks(sheet, (last, high), (here, 205), "orange", bend=bend, gap=(21, 8))
    moves(sheet, (here, 176), (last, high), "orange", share=shares[1], bend=-0.05, gap=(0, 21))
    head(sheet, last, high, heads[1], "orange")
    step(sheet, here + 16, 68, 2, f"asks: who comes after {again}?", "orange")
    step(sheet, last - 30, 190, 3, f"moves {after}", "orange", anchor="end")
    found = after if probability is None else f"{after}  {float(probability):.2f}"
    width = chip(sheet, last, top - 30, found, tone="green")
    left = last - width / 2 - 8
    sheet.text(left, top - 25, "predicted next", tone="soft", size=SMALL, anchor="end")
    return sheet


def _followed(tokens: Sequence[str]) -> int:
    """The position after the nearest earlier copy of the last token."""
    earlier = [i for i, token in enumerate(tokens[:-1]) if token == tokens[-1]]
    if not earlier or not 4 <= len(tokens) <= 8:
        raise CourseError(
            "This drawing wants four to eight tokens, the last of which stood before: "
            f"got {list(tokens)}."
        )
    return earlier[-1] + 1


def previous_token(
    tokens: Sequence[str] = ("q", "x", "b", "m"), name: str = "0.3", pattern: Any = None
) -> Sheet:
    """A previous-token head at every token. tokens: up to five; name: the head's; pattern: its
    attention, [q, k]."""
    sheet = Sheet(
        "A previous-token head",
        f"Over the tokens {' '.join(tokens)}. At every token head {name} looks one place back "
        "and writes into its own lane which token stood there. A later head can find a token "
        "by it.",
        height=300,
    )
    shares = [0.9] * (len(tokens) - 1)
    if pattern is not None:
        shares = list(as_array(pattern, "pattern", ndim=2).diagonal(-1))
    xs = token_row(sheet, tokens, 245, left=80, right=540)
    middle = (xs[1] + xs[-1]) / 2 + 30
    sheet.text(middle, 26, "what each lane now says", tone="soft", size=SMALL)
    for x in xs:
        road(sheet, x, 228, 44)
    for i, x in enumerate(xs[1:]):
        moves(sheet, (xs[i], 208), (x, 140), "blue", share=shares[i], bend=-0.1, gap=(0, 21))
        written(sheet, x, 76, f"after {tokens[i].strip()}", "blue")
    for x in xs[1:]:
        head(sheet, x, 140, name, "blue")
    return sheet


def looking_back(
    tokens: Sequence[str] = ("BOS", "q", "x", "b", "q"), heads: Sequence[str] = ("0.3", "", "1.3")
) -> Sheet:
    """Three heads at one query, told apart by where they look: one back, the same token, the one
    after it. tokens: the last equal to the second; heads: their names, empty for none."""
    again, after, before = (tokens[i].strip() for i in (1, 2, 3))
    sheet = Sheet(
        "Three ways of looking back",
        f"Over the tokens {' '.join(tokens)}, from the last {again}. A previous-token head "
        f"looks at {before}, one back. A duplicate-token head looks at the first {again}, the "
        f"same token. An induction head looks at {after}, the token that came after it.",
        height=300,
    )
    xs = token_row(sheet, tokens, 205, left=80, right=610, marked=[4])
    kinds = (
        ("previous-token\nhead", 3, "blue", heads[0]),
        ("induction\nhead", 2, "orange", heads[2]),
        ("duplicate-token\nhead", 1, "green", heads[1]),
    )
    for i, (kind, place, tone, name) in enumerate(kinds):
        asks(sheet, (xs[4] - 4 * i, 188), (xs[place], 188), tone, bend=-0.2 - 0.08 * i)
        label = f"{kind} {name}".strip()
        sheet.text(xs[place], 264, label, tone=f"{tone}-ink", size=SMALL)
    return sheet


def stripes(tokens: Sequence[str] = ("BOS", "q", "x", "b", "q", "x", "b")) -> Sheet:
    """What three kinds of heads look like as patterns, on BOS and two copies."""
    count, period = len(tokens), (len(tokens) - 1) // 2
    sheet = Sheet(
        "Stripes in a pattern",
        f"Three patterns over {' '.join(tokens)}, rows look, columns are looked at. Previous "
        "token: a stripe just below the diagonal, everywhere. Same token: a stripe one period "
        "below, in the second copy only. After the same token: one step nearer to the diagonal "
        "than that; where there is nothing to find, the first column.",
        height=290,
    )
    cell, top = 23.0, 62.0
    masked = np.triu(np.ones((count, count)), 1).astype(bool)
    kinds = (
        ("one back", 1, "blue"),
        ("the same token", period, "green"),
        ("after the same token", period - 1, "orange"),
    )
    for panel, (title, offset, tone) in enumerate(kinds):
        left = 62 + panel * 218.0
        values = np.zeros((count, count))
        for q in range(count):
            key = q - offset
            found = key >= 0 and (
                (offset == 1 and title == "one back") or (q > period and key >= 1)
            )
            values[q, key if found else 0] = 1
        matrix(
            sheet,
            left,
            top,
            values,
            tone,
            cell=cell,
            masked=masked,
            rows=tokens,
            columns=["", *tokens[1:]],
            row_side="looks" if not panel else "",
        )
        sheet.text(left + count * cell / 2, 30, title, tone=f"{tone}-ink", bold=True)
    sheet.text(340, 272, "is looked at", tone="soft", size=SMALL)
    return sheet
