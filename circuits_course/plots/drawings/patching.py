"""Interventions: two directions of patching, gates, one path."""

from __future__ import annotations

from collections.abc import Sequence

from circuits_course.plots.drawings.arrows import arrow, moves
from circuits_course.plots.drawings.parts import block, chip, head, road
from circuits_course.plots.drawings.sheet import SMALL, Sheet


def two_directions(
    clean: str = "q x b … q", corrupted: str = "w x b … q", answer: str = "x"
) -> Sheet:
    """Denoising and noising. clean, corrupted: the prompts; answer: the clean one's."""
    sheet = Sheet(
        "Denoising and noising",
        "Two runs, clean and corrupted, twice. Left, denoising: one activation of the clean "
        f"run is put into the corrupted one. If {answer} comes back, it was enough. Right, "
        f"noising: one activation of the corrupted run is put into the clean one. If {answer} "
        "is lost, it was needed.",
        height=340,
    )
    for left, title, to_clean, question in (
        (40.0, "denoising", False, f"does {answer}\ncome back?"),
        (380.0, "noising", True, f"is {answer}\nlost?"),
    ):
        a, b = left + 60, left + 200
        sheet.text(left + 130, 28, title, bold=True)
        for x, prompt, kind in ((a, clean, "clean"), (b, corrupted, "corrupted")):
            tone = "blue" if kind == "clean" else "orange"
            road(sheet, x, 268, 86)
            chip(sheet, x, 284, prompt, tone=tone, size=SMALL, width=104, bold=False)
            sheet.text(x, 318, kind, tone=f"{tone}-ink", size=SMALL)
        chip(
            sheet,
            a,
            70,
            f"{answer}?" if to_clean else answer,
            tone="orange" if to_clean else "blue",
        )
        chip(
            sheet,
            b,
            70,
            "?" if to_clean else f"{answer}?",
            tone="orange" if to_clean else "blue",
            dashed=to_clean,
        )
        source, target = (b, a) if to_clean else (a, b)
        tone = "orange" if to_clean else "blue"
        sheet.mark("path", d=f"M{target} 160V88", stroke=tone, stroke_width=10)
        arrow(sheet, (source, 180), (target, 180), tone, weight=4, gap=(20, 21))
        for x, own in ((a, "blue"), (b, "orange")):
            head(sheet, x, 180, "", tone if x == target else own)
        sheet.text(left + 130, 112, question, tone=f"{tone}-ink", size=SMALL)
    return sheet


def gates() -> Sheet:
    """AND and OR: what either direction shows of each head."""
    sheet = Sheet(
        "Two gates, two directions",
        "Left, an AND: both heads are needed. Breaking one loses the answer; restoring one of "
        "two broken ones does not bring it back. Right, an OR: one head is enough. Breaking "
        "one changes nothing; restoring one of two broken ones brings the answer back.",
        height=290,
    )
    for left, gate, broken, restored in (
        (50.0, "AND", "answer lost", "still lost"),
        (390.0, "OR", "still right", "answer back"),
    ):
        low, high, middle = left + 40, left + 200, left + 120
        for x, name in ((low, "0.0"), (high, "0.1")):
            moves(sheet, (x, 165), (middle, 95), "blue", share=0.4, gap=(21, 8))
            head(sheet, x, 165, name, "blue")
        block(sheet, middle, 74, 80, 34, gate, "green")
        arrow(sheet, (middle, 56), (middle, 26), "green")
        sheet.text(middle + 14, 34, "answer", tone="green-ink", size=SMALL, anchor="start")
        for y, deed, result in (
            (222, "break one of two", broken),
            (258, "restore one of two", restored),
        ):
            shown = result.startswith("answer")
            sheet.text(left + 126, y + 5, deed, size=SMALL, anchor="end")
            chip(
                sheet,
                left + 196,
                y,
                result,
                tone="orange" if shown else "",
                size=SMALL,
                width=112,
                bold=shown,
            )
    return sheet


def path_patching(
    sender: str = "0.3", receiver: str = "1.3", frozen: Sequence[str] = ("0.0", "0.1", "1.0", "1.2")
) -> Sheet:
    """Which parts are frozen, which taken from the other run, which computed again."""
    sheet = Sheet(
        "Path patching: one path carries the other prompt",
        f"Head {sender}, the sender, says what it says on the other prompt. Only head "
        f"{receiver}, the receiver, hears it and is computed again. All other heads, "
        f"{', '.join(frozen)}, are frozen as they were, hatched in the drawing.",
        height=330,
    )
    x, low, high = 400, 210, 115
    road(sheet, x, 268, 68)
    chip(sheet, x, 284, "x")
    below = [name for name in frozen if name.split(".")[0] == sender.split(".")[0]]
    above = [name for name in frozen if name not in below]
    for y, names, live in ((low, below, sender), (high, above, receiver)):
        sheet.text(
            20, y + 5, f"layer {live.split('.')[0]}", tone="soft", size=SMALL, anchor="start"
        )
        arrow(sheet, (130, y - 34), (x, y - 34), "edge", weight=1.5, gap=(0, 6))
        for i, name in enumerate(names):
            at = 130 + 70 * i
            sheet.mark("path", d=f"M{at} {y}V{y - 34}", stroke="edge", stroke_width=1.5)
            head(sheet, at, y, name, state="frozen")
    moves(sheet, (x, low), (x, high), "orange", share=0.8, gap=(21, 21))
    moves(sheet, (x, high), (x, 66), "blue", share=0.8, gap=(21, 0))
    head(sheet, x, low, sender, "orange")
    head(sheet, x, high, receiver, "blue")
    sheet.text(
        x + 32,
        low - 4,
        "sender: taken from\nthe other prompt",
        tone="orange-ink",
        size=SMALL,
        anchor="start",
    )
    sheet.text(
        x + 32,
        high - 4,
        "receiver: hears it,\ncomputed again",
        tone="blue-ink",
        size=SMALL,
        anchor="start",
    )
    sheet.text(165, low + 40, "frozen: write as before", tone="soft", size=SMALL)
    chip(sheet, x, 48, "what changes?", tone="green")
    return sheet
