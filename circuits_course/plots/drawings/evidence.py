"""Questions about circuits: same in every model, one job or many, and is a claim right."""

from __future__ import annotations

from collections.abc import Sequence

from circuits_course.plots.drawings.arrows import arrow, moves
from circuits_course.plots.drawings.parts import chip, head, road, token_row
from circuits_course.plots.drawings.sheet import SMALL, Sheet


def two_models(
    layers: Sequence[int] = (2, 30),
    previous: Sequence[tuple[int, int]] = ((0, 3), (16, 0)),
    induction: Sequence[tuple[int, int]] = ((1, 3), (17, 4)),
    names: Sequence[str] = ("induction-2l", "SmolLM2"),
) -> Sheet:
    """The same two jobs in two models. layers: of each; previous, induction: one head (layer, head)
    of each; heights are shares of depth."""
    sheet = Sheet(
        "The same circuit in another model?",
        f"Two models, {names[0]} with {layers[0]} layers and {names[1]} with {layers[1]}; in each "
        "the strongest previous-token head and the strongest induction head, drawn at their depth. "
        "Numbers and heights differ. The arrows are a claim, that the one needs the other: an "
        "intervention must show it.",
        height=330,
    )
    for i, x in enumerate((170.0, 470.0)):
        sheet.text(x, 28, names[i], bold=True)
        sheet.mark("rect", x=x - 110, y=44, width=220, height=250, rx=6, fill="none", stroke="edge")
        sheet.text(x, 316, f"{layers[i]} layers", tone="soft", size=SMALL)
        places = []
        for job, (layer, index) in (("previous token", previous[i]), ("induction", induction[i])):
            share = (layer + 0.5) / layers[i]
            places.append(
                (
                    x - 45 if job == "previous token" else x + 45,
                    294 - 250 * share,
                    job,
                    f"{layer}.{index}",
                )
            )
        (x0, y0, *_), (x1, y1, *_) = places
        moves(sheet, (x0, y0), (x1, y1), "blue", share=0.4, gap=(21, 21))
        for at, y, job, name in places:
            first = job == "previous token"
            head(sheet, at, y, name, "blue" if first else "orange")
            tone = "blue-ink" if first else "orange-ink"
            sheet.text(
                at + (0 if first else -6), y + (38 if first else -28), job, tone=tone, size=SMALL
            )
    sheet.text(320, 175, "same job?", tone="soft", size=SMALL)
    return sheet


def one_head_two_jobs() -> Sheet:
    """One head on two kinds of text."""
    sheet = Sheet(
        "One head, two jobs?",
        "The same head on two kinds of text. Left, it looks at the token before. Right, on a "
        "repeated sequence, it looks at the token after the earlier copy. One name would be "
        "wrong half of the time.",
        height=280,
    )
    for tokens, left, right, place, title, job in (
        (("the", "cat", "sat", "on"), 60, 300, 2, "on prose", "looks one back"),
        (("q", "x", "b", "q"), 390, 630, 1, "on a repeat", "looks after the copy"),
    ):
        xs = token_row(sheet, tokens, 220, left=left, right=right, places=False)
        sheet.text((left + right) / 2, 28, title, bold=True)
        for x in xs:
            road(sheet, x, 203, 60)
        tone = "blue" if place == 2 else "orange"
        moves(sheet, (xs[place], 185), (xs[3], 100), tone, share=0.7, bend=-0.08, gap=(0, 21))
        head(sheet, xs[3], 100, "h", tone)
        sheet.text((left + right) / 2, 262, job, tone=f"{tone}-ink", size=SMALL)
    return sheet


def large_or_small_heads(d_model: int = 64, counts: Sequence[int] = (1, 4, 16)) -> Sheet:
    """The same width cut into few or many heads."""
    sheet = Sheet(
        "One large head or many small ones",
        f"A layer of width {d_model}, cut into heads in {len(counts)} ways: "
        + ", ".join(f"{n} of {d_model // n}" for n in counts)
        + ". The same number of weights; each head can look at one set of places at a time.",
        height=250,
    )
    for i, count in enumerate(counts):
        y = 50 + 66 * i
        width = 400 / count
        for j in range(count):
            sheet.mark(
                "rect",
                x=140 + j * width + 1,
                y=y,
                width=width - 2,
                height=34,
                rx=4,
                fill="blue-wash",
                stroke="blue",
            )
        many = "head" if count == 1 else "heads"
        sheet.text(126, y + 22, f"{count} {many}", anchor="end", bold=True)
        sheet.text(552, y + 22, f"{d_model // count} wide", tone="soft", anchor="start")
    sheet.text(340, 28, "one layer, the same weights in all", tone="soft", size=SMALL)
    return sheet


def three_tests() -> Sheet:
    """Faithfulness, completeness, minimality of a circuit."""
    sheet = Sheet(
        "Three tests of a circuit",
        "Each test compares two rows of four heads; the two orange ones are the claimed "
        "circuit, hatched ones are silenced, crossed ones taken away. Faithful: the whole "
        "model and the circuit alone are alike. Complete: with one head taken from both they "
        "are still alike. Minimal: the circuit without one of its heads differs from the "
        "circuit.",
        height=290,
    )
    circuit, alone, without = {0, 1}, {2, 3}, {1}
    none: set[int] = set()
    tests = (
        ("faithful", "alike?", (none, none), (alone, none)),
        ("complete", "alike?", (none, without), (alone, without)),
        ("minimal", "different?", (alone, none), (alone, without)),
    )
    for panel, (title, question, *rows) in enumerate(tests):
        left = 52 + 222.0 * panel
        sheet.text(left + 66, 30, title, bold=True)
        for y, (silent, gone) in zip((75, 175), rows, strict=True):
            for i in range(4):
                state = "cut" if i in gone else "frozen" if i in silent else ""
                head(sheet, left + 44 * i, y, "", "orange" if i in circuit else "", state=state)
        sheet.text(left + 66, 130, question, tone="blue-ink", bold=True)
        if panel:
            sheet.mark("path", d=f"M{left - 45} 50V210", stroke="road")
    sheet.text(340, 240, "orange: the claimed circuit", tone="orange-ink", size=SMALL)
    sheet.text(340, 264, "hatched: silenced · crossed: taken away", tone="soft", size=SMALL)
    return sheet


def claim_graded() -> Sheet:
    """What a grader says of a claim, and what it does not."""
    sheet = Sheet(
        "A claim, graded",
        "A claim names heads, roles and edges. An edge that carries something under path "
        "patching is solid with a tick; one that carries nothing is dashed with a cross. Edges "
        "that the claim forgot are not shown: only how many are missing.",
        height=300,
    )
    places = {"0.1": (110, 200), "0.2": (290, 200), "1.2": (200, 100), "logits": (200, 36)}
    for start, end, right in (("0.1", "1.2", True), ("0.2", "1.2", False)):
        (x0, y0), (x1, y1) = places[start], places[end]
        if right:
            arrow(sheet, (x0, y0), (x1, y1), "green", weight=3.5, gap=(21, 21))
        else:
            d = f"M{x0 - 14} {y0 - 16}L{x1 + 15} {y1 + 16}"
            sheet.mark("path", d=d, stroke="orange", stroke_width=2.5, stroke_dasharray="6 5")
        middle = (x0 + x1) / 2 + (-20 if right else 22)
        sheet.text(
            middle,
            (y0 + y1) / 2,
            "✔" if right else "✘",
            tone="green-ink" if right else "orange-ink",
            bold=True,
        )
    arrow(sheet, places["1.2"], places["logits"], "green", weight=3.5, gap=(21, 17))
    sheet.text(220, 72, "✔", tone="green-ink", bold=True)
    for name, (x, y) in places.items():
        if name == "logits":
            chip(sheet, x, y, name, tone="green")
        else:
            head(sheet, x, y, name, "orange" if name == "0.2" else "green")
    for y, words, tone in (
        (80, "✔ this edge carries", "green-ink"),
        (120, "✘ this one carries nothing", "orange-ink"),
        (160, "what carries and is missing\ncounts too, and is never shown", "soft"),
    ):
        sheet.text(380, y, words, tone=tone, anchor="start")
    sheet.text(380, 228, "mark:  ✔ / (✔ + ✘ + missing)", bold=True, size=SMALL, anchor="start")
    sheet.text(200, 262, "your claim", tone="soft", size=SMALL)
    return sheet
