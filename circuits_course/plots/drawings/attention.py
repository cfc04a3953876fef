"""One head and one layer: where a head looks, what it moves, and what the logits are a sum of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array, visible
from circuits_course.plots.drawings.arrows import arrow, asks, loop, moves
from circuits_course.plots.drawings.parts import chip, head, matrix, road, step, token_row
from circuits_course.plots.drawings.sheet import SMALL, Sheet

KEEP = ("keep", "the", "dog", "in")
MOST_CIRCLES = 12
ARC_FROM = 0.04  # attention below is not drawn


def one_head(
    tokens: Sequence[str] = KEEP,
    looks_at: int = 0,
    share: float = 0.9,
    says: str = "mind",
    name: str = "head",
) -> Sheet:
    """A head at the last token. looks_at: the position that it looks at; share: its attention
    there; says: the word that this makes likelier; name: such as "0.3"."""
    source, here = visible(tokens[looks_at], 9), visible(tokens[-1], 9)
    sheet = Sheet(
        "One head: where it looks, and what it moves",
        f"A head at {here!r}, the last of the tokens {' '.join(tokens)}. Step 1: its query "
        f"meets the key of {source!r} best; the matrix W_QK decides where it looks. Step 2: it "
        f"moves what W_OV makes of {source!r} into the lane of {here!r}, which makes {says!r} "
        "likelier.",
        height=340,
    )
    xs = token_row(sheet, tokens, 290)
    for x in xs:
        road(sheet, x, 273, 74)
    y, key, here_x = 150, xs[looks_at], xs[-1]
    asks(sheet, (here_x, y), (key, 110), "blue", bend=-0.08, gap=(21, 10))
    moves(sheet, (key, 205), (here_x, y), "orange", share=share, bend=-0.05, gap=(0, 21))
    head(sheet, here_x, y, name if len(name) < 5 else "", "orange")
    middle = (key + here_x) / 2
    step(sheet, middle, 70, 1, "where to look: W_QK", "blue", anchor="middle")
    step(sheet, middle, 248, 2, "what to move: W_OV", "orange", anchor="middle")
    chip(sheet, here_x, 56, visible(says, 9), tone="green")
    sheet.text(here_x - 50, 36, "likelier now", tone="soft", size=SMALL, anchor="end")
    return sheet


def attention_arcs(
    tokens: Sequence[str] = KEEP, pattern: Any = None, query: int = -1, name: str = "a head"
) -> Sheet:
    """One row of a pattern, as a row and as arrows.

    tokens: up to eight; pattern: [q, k]; query: whose row; name: such as "head 1.3".
    """
    measured = pattern is not None
    if not measured:
        pattern = [[1, 0, 0, 0], [0.7, 0.3, 0, 0], [0.5, 0.3, 0.2, 0], [0.8, 0.1, 0.05, 0.05]]
    values = as_array(pattern, "pattern", ndim=2)
    count = len(tokens)
    if values.shape != (count, count) or not 2 <= count <= 8:
        raise CourseError(
            f"attention_arcs wants 2 to 8 tokens and a pattern [q, k] of them, got "
            f"{count} tokens and shape {list(values.shape)}."
        )
    query %= count
    words = [visible(token, 5) for token in tokens]
    row = values[query]
    shares = ", ".join(f"{w} {a:.2f}" for w, a in zip(words, row, strict=True) if a >= ARC_FROM)
    sheet = Sheet(
        "A row of a pattern is a fan of arrows",
        f"Left, the attention pattern of {name} as a grid: a row for each token that looks, a "
        "column for each that is looked at, nothing above the diagonal. Right, the row of "
        f"{words[query]} as arrows from what it looks at: {shares}.",
        height=330,
    )
    cell = min(34.0, 190 / count)
    left, top = 84.0, 60.0
    masked = np.triu(np.ones((count, count)), 1).astype(bool)
    matrix(
        sheet,
        left,
        top,
        values,
        cell=cell,
        rows=words,
        masked=masked,
        row_side="looks",
        column_side="is looked at",
    )
    sheet.mark(
        "rect",
        x=left - 2,
        y=top + query * cell - 2,
        width=count * cell + 4,
        height=cell + 4,
        fill="none",
        stroke="orange",
        stroke_width=3,
    )
    xs = token_row(sheet, words, 262, left=350, right=640, marked=[query])
    for k in range(query + 1):
        if row[k] < ARC_FROM:
            continue
        share = float(row[k])
        if k == query:
            loop(sheet, (xs[k], 244), "orange", share=share)
        else:
            flat = min(0.36, 90 / (xs[query] - xs[k]))
            moves(sheet, (xs[k], 244), (xs[query], 244), "orange", share=share, bend=flat)
    if measured:
        for x, share in zip(xs, row, strict=True):
            sheet.text(x, 316, f"{share:.2f}", tone="orange-ink", size=SMALL, bold=True)
    return sheet


def grouped_keys(queries: int = 9, keys: int | None = 3) -> Sheet:
    """Query heads that share key heads. queries, keys: how many a layer has of each; no keys (None)
    means as many as queries. The first twelve or so are drawn."""
    keys = keys or queries
    size = queries // keys
    sheet = Sheet(
        "Grouped keys",
        f"A layer with {queries} query heads and {keys} key and value heads. Each key head and its "
        f"value head serve a group of {size}: each of the group asks its own question, all are "
        "answered from the same keys, and all move from the same values.",
        height=260,
    )
    groups = min(keys, max(1, MOST_CIRCLES // size))
    size_drawn = min(size, MOST_CIRCLES)
    gap = 440 / max(groups * size_drawn - 1, 1)
    sheet.text(20, 75, "queries", tone="soft", anchor="start")
    sheet.text(20, 205, "keys, values", tone="soft", anchor="start")
    for group in range(groups):
        first = 190 + group * size_drawn * gap
        middle = first + (size_drawn - 1) * gap / 2
        tone = ("blue", "orange", "green")[group % 3]
        for i in range(size_drawn):
            asks(sheet, (first + i * gap, 70), (middle, 200), tone, gap=(21, 18))
        width = min(90, max(36, 440 / groups - 20))
        chip(sheet, middle, 200, f"{group}", tone=tone, width=width)
        for i in range(size_drawn):
            head(sheet, first + i * gap, 70, str(group * size + i), tone)
    sheet.text(410, 30, "each asks its own question", tone="soft", size=SMALL)
    shared = f"{size} share one" if size > 1 else "nothing is shared"
    more = f", {keys} groups in all" if groups < keys else ""
    sheet.text(410, 240, shared + more, tone="soft", size=SMALL)
    return sheet


def paths_one_layer(
    tokens: Sequence[str] = KEEP,
    looks_at: int = 0,
    says: str = "mind",
    parts: Sequence[float] = (),
) -> Sheet:
    """The logits of a one-layer model as a sum.

    parts: what the direct path and the head's path add to the logit of `says`.
    """
    source, here = visible(tokens[looks_at], 9), visible(tokens[-1], 9)
    sheet = Sheet(
        "One layer: the logits are a sum of paths",
        f"Over {' '.join(tokens)}. The direct path leads from {here!r} straight up and knows "
        f"which words follow {here!r}. The other path starts at {source!r}, goes through a "
        f"head, and enters the lane of {here!r}. At the top both are added.",
        height=360,
    )
    xs = token_row(sheet, tokens, 310, right=500)
    for x in xs:
        road(sheet, x, 293, 92)
    x, key = xs[-1], xs[looks_at]
    arrow(sheet, (x + 12, 292), (x + 12, 82), "blue", weight=4, bend=-0.2, gap=(0, 4))
    moves(sheet, (key, 280), (x, 185), "orange", share=0.6, bend=0.1, gap=(0, 21))
    moves(sheet, (x, 185), (x, 76), "orange", share=0.6, gap=(21, 14))
    head(sheet, x, 185, "h", "orange")
    sheet.mark("circle", cx=x, cy=76, r=13, fill="bg", stroke="green", stroke_width=2.5)
    sheet.text(x, 81, "+", tone="green-ink", bold=True, halo=False)
    chip(sheet, x, 32, visible(says, 9), tone="green")
    sheet.text(x - 44, 37, "logit of", tone="soft", size=SMALL, anchor="end")
    sheet.mark("path", d=f"M{x} 62V48", stroke="green", stroke_width=2.5)
    direct, through = (f"\n{part:+.1f}" for part in parts) if len(parts) == 2 else ("", "")
    sheet.text(
        x + 64,
        185,
        f"direct:\nwhat follows {here}{direct}",
        tone="blue-ink",
        size=SMALL,
        anchor="start",
    )
    sheet.text(
        key + 20,
        140,
        f"through a head:\n{source} stood there{through}",
        tone="orange-ink",
        size=SMALL,
        anchor="start",
    )
    return sheet
