"""The induction walk as one drawing whose parts come step by step, with its five sentences."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

LEFT, APART, TOP = 62, 76, 40
GROUND, LOW, HIGH = 330, 246, 150  # heights of the tokens and of the two layers
HEAD = 20
TIP = 9


def walk_html(walk: dict[str, Any]) -> str:
    """The drawing, the controls and the sentences. walk: what `walk.measure` returns.

    Without scripts the drawing stands whole and the controls stay hidden.
    """
    items = "".join(f"<li>{said}</li>" for said in sentences(walk))
    return (
        f'<div class="walk">{drawing(walk)}<div class="controls" hidden>'
        '<button type="button">Back</button><button type="button">Play</button>'
        f'<button type="button">Next</button></div><ol class="steps">{items}</ol></div>'
    )


def sentences(walk: dict[str, Any]) -> list[str]:
    """The five steps in words, as HTML."""
    last, answer = (_code(walk["tokens"][at]) for at in (walk["earlier"], walk["found"]))
    (low, high), (back, found) = walk["heads"], walk["attention"]
    whole, without_low, without_high = walk["probability"]
    return [
        f"The text ends with {last}, which stood here once before. What came next then? No weight "
        "has learned it: these symbols were drawn at random.",
        f"In layer 0 head {low} looks one place back from {answer} (attention {back:.2f}) and "
        f"leaves a note there: <em>I come after</em> {last}.",
        f"In layer 1 head {high} asks from the last {last}: <em>who comes after</em> {last}? The "
        f"note at {answer} is what fits.",
        f"So it looks there (attention {found:.2f}) and moves {answer} to the end.",
        f"The model says {answer} with probability {whole:.3f}. Take head {low} away and it is "
        f"{without_low:.3f}, although nobody touched {high}; take {high} away and it is "
        f'{without_high:.3f}. <a href="chapters/04_induction_heads.html">Chapter 04</a> lets you '
        "find, trace and cut it yourself.",
    ]


def drawing(walk: dict[str, Any]) -> str:
    """The SVG. Parts that come later carry their step in `data-step`."""
    width = 2 * LEFT + APART * (len(walk["tokens"]) - 1)
    steps = enumerate((_ground, _note, _question, _move, _answer), start=1)
    parts = "".join(f'<g data-step="{n}">{"".join(part(walk))}</g>' for n, part in steps)
    about = html.escape(
        f"Tokens {' '.join(walk['tokens'])}. Head {walk['heads'][0]} leaves a note at token "
        f"{walk['found']}; head {walk['heads'][1]} finds it from the last token and moves that "
        "token to the end."
    )
    return (
        f'<svg viewBox="0 0 {width} {GROUND + 50}" role="img" aria-labelledby="walk-t walk-d">'
        f'<title id="walk-t">Induction in five steps</title><desc id="walk-d">{about}</desc>'
        f"{parts}</svg>"
    )


def _ground(walk: dict[str, Any]) -> Iterator[str]:
    for at, token in enumerate(walk["tokens"]):
        x = _x(at)
        seen = at in (walk["earlier"], len(walk["tokens"]) - 1)
        yield f'<line class="lane" x1="{x}" x2="{x}" y1="{GROUND - 18}" y2="{TOP + 36}"/>'
        yield _chip(x, GROUND, token, "seen" if seen else "")
    for layer, y in (("layer 0", LOW), ("layer 1", HIGH)):
        yield f'<text class="quiet" x="6" y="{y + 4}">{layer}</text>'


def _note(walk: dict[str, Any]) -> Iterator[str]:
    x, last = _x(walk["found"]), walk["tokens"][walk["earlier"]]
    start = _x(walk["earlier"])
    yield _arrow("blue", (start, GROUND - 24), (start + 30, LOW), (x - HEAD, LOW))
    yield _head(x, LOW, walk["heads"][0], "blue")
    yield f'<circle class="blue fill" cx="{x}" cy="{LOW - 40}" r="5"/>'
    yield _words("blue", x - 13, LOW - 34, f"after {html.escape(last)}", anchor="end")


def _question(walk: dict[str, Any]) -> Iterator[str]:
    end, x = _x(len(walk["tokens"]) - 1), _x(walk["found"])
    last = html.escape(walk["tokens"][-1])
    yield _head(end, HIGH, walk["heads"][1], "orange")
    yield _arrow(
        "orange asks", (end - 18, HIGH - 10), ((x + end) / 2, HIGH - 76), (x + 4, LOW - 50)
    )
    yield _words("orange", (x + end) / 2, HIGH - 58, f"after {last}?")


def _move(walk: dict[str, Any]) -> Iterator[str]:
    end, x = _x(len(walk["tokens"]) - 1), _x(walk["found"])
    yield _arrow(
        "orange moves", (x + 8, LOW - 52), ((x + end) / 2, HIGH + 6), (end - HEAD - 2, HIGH + 4)
    )
    said = f"moves {html.escape(walk['tokens'][walk['found']])}"
    yield _words("orange", (x + end) / 2 + 20, HIGH + 50, said)


def _answer(walk: dict[str, Any]) -> Iterator[str]:
    x = _x(len(walk["tokens"]) - 1)
    yield _arrow("green", (x, HIGH - HEAD), (x, HIGH - 40), (x, TOP + 20))
    yield _chip(x, TOP, walk["tokens"][walk["found"]], "green")
    share = f"{walk['probability'][0]:.3f}"
    yield f'<text class="green" x="{x - 34}" y="{TOP + 5}" text-anchor="end">{share}</text>'


def _x(at: int) -> int:
    return LEFT + 20 + APART * at


def _chip(x: float, y: float, word: str, tone: str) -> str:
    return (
        f'<rect class="chip {tone}" x="{x - 28}" y="{y - 17}" width="56" height="34" rx="7"/>'
        f'<text class="word" x="{x}" y="{y + 6}" text-anchor="middle">{html.escape(word)}</text>'
    )


def _head(x: float, y: float, name: str, tone: str) -> str:
    return (
        f'<circle class="head {tone}" cx="{x}" cy="{y}" r="{HEAD}"/>'
        f'<text class="{tone} name" x="{x}" y="{y + 5}" text-anchor="middle">{name}</text>'
    )


def _arrow(tone: str, start: Any, bend: Any, end: Any) -> str:
    """A bent line and its tip, which points the way the line comes in."""
    across, down = end[0] - bend[0], end[1] - bend[1]
    length = (across**2 + down**2) ** 0.5 or 1.0
    ux, uy = across / length * TIP, down / length * TIP
    tip = " ".join(
        f"{end[0] + a:.1f},{end[1] + b:.1f}"
        for a, b in ((0, 0), (-ux - uy / 2, -uy + ux / 2), (-ux + uy / 2, -uy - ux / 2))
    )
    places = [*start, *bend, end[0] - ux, end[1] - uy]
    path = "M{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}".format(*places)
    return f'<path class="arrow {tone}" d="{path}"/><polygon class="{tone} fill" points="{tip}"/>'


def _words(tone: str, x: float, y: float, said: str, anchor: str = "middle") -> str:
    return f'<text class="{tone}" x="{x}" y="{y}" text-anchor="{anchor}">{said}</text>'


def _code(token: str) -> str:
    return f"<code>{html.escape(token)}</code>"
