"""The machine: from text to a guess, the residual stream, looking in and changing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuits_course.plots.arrays import visible
from circuits_course.plots.drawings.arrows import arrow
from circuits_course.plots.drawings.parts import block, chip, head, road, token_row
from circuits_course.plots.drawings.sheet import SMALL, Sheet


def text_to_guess(
    tokens: Sequence[str] = ("The", " cat", " sat", " on"),
    ids: Sequence[int] | None = None,
    guesses: Mapping[str, float] | None = None,
) -> Sheet:
    """From tokens to the next one.

    tokens: up to seven; ids: their numbers; guesses: next tokens with the model's probabilities.
    """
    measured, guesses = bool(guesses), dict(guesses or {" the": 0.5, " a": 0.2, " my": 0.1})
    said = ", ".join(f"{word.strip()} {share:.2f}" for word, share in guesses.items())
    best = f" Here the tokens are {' '.join(tokens)}, and the best guesses {said}."
    sheet = Sheet(
        "From text to a guess",
        "From the bottom up: the text is cut into tokens, each token becomes a vector, the model "
        "works on all of them at once, and at the last one stands a probability for every possible "
        f"next token.{best if measured else ''}",
        height=360,
    )
    xs = token_row(sheet, tokens, 320, left=130, right=450, places=False)
    for i, x in enumerate(xs):
        if ids is not None:
            sheet.text(x, 351, str(ids[i]), tone="soft", size=SMALL)
        arrow(sheet, (x, 302), (x, 282), "edge", weight=1.5)
        for j in range(4):
            sheet.mark(
                "rect",
                x=x - 20 + j * 10,
                y=262,
                width=10,
                height=14,
                fill="blue-wash",
                stroke="blue",
            )
        arrow(sheet, (x, 258), (x, 238), "edge", weight=1.5)
    middle = (xs[0] + xs[-1]) / 2
    block(sheet, middle, 210, xs[-1] - xs[0] + 60, 44, "the model: layers of heads", "blue")
    last = xs[-1]
    arrow(sheet, (last, 188), (last, 148), "green", weight=2.5)
    for y, words in ((325, "tokens"), (274, "vectors"), (352, "numbers")):
        if y < 350 or ids is not None:
            sheet.text(20, y, words, tone="soft", size=SMALL, anchor="start")
    sheet.text(20, 130, "guesses", tone="soft", size=SMALL, anchor="start")
    longest = max(guesses.values())
    for i, (word, share) in enumerate(list(guesses.items())[:3]):
        y = 130 - 38 * i
        chip(sheet, last, y - 5, visible(word, 9), tone="green", width=90)
        width = 130 * share / longest
        sheet.mark("rect", x=last + 54, y=y - 14, width=width, height=18, fill="green")
        if measured:
            sheet.text(last + 60 + width, y, f"{share:.2f}", size=SMALL, anchor="start")
    return sheet


def residual_stream(
    token: str = "q", before: Sequence[str] = ("x", "b"), layers: int = 2, heads: int = 4
) -> Sheet:
    """One token's residual stream beside those of two tokens before it. layers and heads: the
    model's; up to two and four are drawn."""
    sheet = Sheet(
        "The residual stream of one token",
        "Three lanes lead up from three tokens. In each layer every head at the last one, "
        f"{token}, reads copies: of its own lane and of those before. What it writes is added "
        "to its own lane, on which nothing is ever replaced. At the top the logits are read "
        "from it.",
        height=400,
    )
    lanes, drawn = [84.0, 144.0, 204.0], min(heads, 4)
    for x, word in zip(lanes, (*before, token), strict=True):
        own = x == lanes[-1]
        road(sheet, x, 336, 76 if own else 100)
        chip(sheet, x, 352, visible(word, 5), tone="orange" if own else "")
    for layer, y in ((0, 255), (1 if layers <= 2 else layers - 1, 150)):
        sheet.text(12, y + 5, f"layer {layer}", tone="soft", size=SMALL, anchor="start")
        _reads_and_writes(sheet, lanes, y, [f"{layer}.{h}" for h in range(drawn)])
        if heads > drawn:
            sheet.text(576, y + 5, f"… {heads} heads", tone="soft", size=SMALL, anchor="start")
    sheet.text(300, 324, "each reads copies, of earlier lanes too", tone="blue-ink", anchor="start")
    sheet.text(300, 84, "what they write is added to one lane", tone="orange-ink", anchor="start")
    if layers > 2:
        sheet.text(28, 207, "⋮", tone="soft")
    arrow(sheet, (lanes[-1], 78), (lanes[-1], 54), "green", weight=2.5)
    chip(sheet, lanes[-1], 34, "logits", tone="green")
    return sheet


def _reads_and_writes(sheet: Sheet, lanes: Sequence[float], y: float, names: Sequence[str]) -> None:
    """A row of heads: a line below them from all lanes, one above them to the last lane."""
    below, above, own = y + 38, y - 38, lanes[-1]
    places = [320.0 + 64 * i for i in range(len(names))]
    sheet.mark("path", d=f"M{lanes[0]} {below}H{places[-1]}", stroke="blue", stroke_width=1.5)
    for x in lanes:
        sheet.mark("circle", cx=x, cy=below, r=4, fill="blue")
    arrow(sheet, (places[-1], above), (own, above), "orange", weight=2.5, gap=(0, 13))
    for x, name in zip(places, names, strict=True):
        arrow(sheet, (x, below), (x, y), "blue", weight=1.5, gap=(0, 21))
        sheet.mark("path", d=f"M{x} {y - 20}V{above}", stroke="orange", stroke_width=2.5)
        head(sheet, x, y, name)
    sheet.mark("circle", cx=own, cy=above, r=11, fill="bg", stroke="orange", stroke_width=2.5)
    sheet.text(own, above + 5, "+", tone="orange-ink", bold=True, halo=False)


def cache_and_hook() -> Sheet:
    """Reading along, and changing on the way."""
    sheet = Sheet(
        "Looking and changing",
        "Two runs of a model. Left, with a cache: a copy of what passes is kept, and the run "
        "goes on as ever. Right, with a hook: your function takes what passes and gives back "
        "something else, and everything above is changed.",
        height=330,
    )
    for x, title in ((110, "a cache looks"), (450, "a hook changes")):
        sheet.text(x - 60, 28, title, bold=True, anchor="start")
        road(sheet, x, 280, 90)
        chip(sheet, x, 300, "q")
        chip(sheet, x, 68, "logits", tone="green" if x < 300 else "orange")
    head(sheet, 110, 180, "1.3")
    arrow(sheet, (110, 180), (188, 180), "blue", weight=1.5, gap=(22, 0))
    block(sheet, 240, 180, 96, 42, "a copy\nof its output", "blue")
    sheet.text(110, 118, "goes on unchanged", tone="soft", size=SMALL)
    sheet.mark("path", d="M450 160V92", stroke="orange", stroke_width=10, stroke_dasharray="14 6")
    block(sheet, 450, 180, 120, 42, "your function", "orange")
    sheet.text(
        522,
        176,
        "takes what passes,\ngives something else",
        tone="orange-ink",
        size=SMALL,
        anchor="start",
    )
    sheet.text(480, 118, "all above changes", tone="soft", size=SMALL, anchor="start")
    return sheet
