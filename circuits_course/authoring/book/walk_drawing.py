"""The induction walk as one drawing whose parts come step by step, with its five sentences.

A walk is what `circuits.walk_induction` returns. Every part of the drawing is there twice where it
differs: for the whole model, and for the one whose lower head is silent at that place.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

Walk = Sequence[dict[str, Any]]

LEFT, APART, TOP = 82, 76, 40
GROUND, LOW, HIGH = 330, 246, 150  # heights of the tokens and of the two layers
HEAD = 20
TIP = 9
QUOTED = re.compile(r"&#x27;(\S+?)&#x27;")


def walk_html(walk: Walk) -> str:
    """The drawing, the controls and the sentences.

    Without scripts the drawing of the whole model stands and the controls stay hidden.
    """
    place, name = walk[1]["head"]
    cut = f"Silence head {name} at <code>{html.escape(walk[0]['tokens'][place])}</code>"
    items = "".join(
        f'<li><span class="whole">{_sentence(step)}</span>'
        f'<span class="cut">{_sentence(step["cut"])}</span></li>'
        for step in walk
    )
    return (
        f'<div class="walk">{drawing(walk)}<div class="controls" hidden>'
        '<button type="button">Back</button><button type="button">Play</button>'
        f'<button type="button">Next</button><label><input type="checkbox"> {cut}</label></div>'
        f'<ol class="steps">{items}</ol></div>'
    )


def drawing(walk: Walk) -> str:
    """The SVG. Parts that come later carry their step in `data-step`, and `whole` or `cut`."""
    tokens = walk[0]["tokens"]
    width = LEFT + 60 + APART * (len(tokens) - 1)
    about = html.escape(
        f"Tokens {' '.join(tokens)}. Head {walk[1]['head'][1]} leaves a note at "
        f"{tokens[_key(walk)]}; head {walk[3]['head'][1]} finds it from the last "
        "token and moves that token to the end."
    )
    parts = [*_group(1, "", _ground(walk)), *_whole(walk), *_cut(walk)]
    return (
        f'<svg viewBox="0 0 {width} {GROUND + 30}" role="img" aria-labelledby="walk-t walk-d">'
        f'<title id="walk-t">Induction in five steps</title><desc id="walk-d">{about}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _whole(walk: Walk) -> Iterator[str]:
    (note,) = walk[2]["holds"]
    yield from _group(2, "whole", [_lower(walk), _look(walk)])
    yield from _group(3, "whole", [_note(walk, note[1])])
    yield from _group(4, "whole", [_higher(walk), _question(walk, note[1]), _move(walk)])
    yield from _group(5, "whole", [_answer(walk, walk[4]["says"][0], "green")])


def _cut(walk: Walk) -> Iterator[str]:
    (note,) = walk[2]["holds"]
    yield from _group(2, "cut", [_lower(walk), _cross(_x(_key(walk)), LOW)])
    yield from _group(4, "cut", [_higher(walk), _question(walk, note[1])])
    yield from _group(5, "cut", [_answer(walk, walk[4]["cut"]["says"][0], "quiet")])


def _group(step: int, kind: str, parts: Any) -> Iterator[str]:
    yield f'<g data-step="{step}" class="{kind}">{"".join(parts)}</g>'


# --- the parts --------------------------------------------------------------------------------


def _ground(walk: Walk) -> Iterator[str]:
    tokens = walk[0]["tokens"]
    for at, token in enumerate(tokens):
        x = _x(at)
        seen = at in (_key(walk) - 1, len(tokens) - 1)
        yield f'<line class="lane" x1="{x}" x2="{x}" y1="{GROUND - 18}" y2="{TOP + 36}"/>'
        yield _chip(x, GROUND, token, "seen" if seen else "")
    for layer, y in (("layer 0", LOW), ("layer 1", HIGH)):
        yield f'<text class="quiet" x="2" y="{y + 4}">{layer}</text>'


def _lower(walk: Walk) -> str:
    return _head(_x(_key(walk)), LOW, walk[1]["head"][1], "blue")


def _look(walk: Walk) -> str:
    x, start = _x(_key(walk)), _x(walk[1]["arrows"][0]["from"])
    return _arrow("blue", (start, GROUND - 24), (start + 30, LOW), (x - HEAD, LOW))


def _note(walk: Walk, words: str) -> str:
    x = _x(_key(walk))
    dot = f'<circle class="blue fill" cx="{x}" cy="{LOW - 40}" r="5"/>'
    return dot + _words("blue", x - 13, LOW - 34, words, anchor="end")


def _higher(walk: Walk) -> str:
    return _head(_end(walk), HIGH, walk[3]["head"][1], "orange")


def _question(walk: Walk, words: str) -> str:
    end, x = _end(walk), _x(_key(walk))
    line = ((end - 18, HIGH - 10), ((x + end) / 2, HIGH - 76), (x + 4, LOW - 50))
    return _arrow("orange asks", *line) + _words("orange", (x + end) / 2, HIGH - 58, f"{words}?")


def _move(walk: Walk) -> str:
    end, x = _end(walk), _x(_key(walk))
    line = ((x + 8, LOW - 52), ((x + end) / 2, HIGH + 6), (end - HEAD - 2, HIGH + 4))
    said = f"moves {walk[0]['tokens'][_key(walk)]}"
    return _arrow("orange moves", *line) + _words("orange", (x + end) / 2 + 20, HIGH + 50, said)


def _answer(walk: Walk, says: Sequence[Any], tone: str) -> str:
    x, (token, share) = _end(walk), says
    line = _arrow(tone, (x, HIGH - HEAD), (x, HIGH - 40), (x, TOP + 20))
    return line + _chip(x, TOP, token, tone) + _words(tone, x - 36, TOP + 6, f"{share:.2f}", "end")


# --- the signs --------------------------------------------------------------------------------


def _key(walk: Walk) -> int:
    return walk[1]["head"][0]


def _end(walk: Walk) -> int:
    return _x(len(walk[0]["tokens"]) - 1)


def _x(at: int) -> int:
    return LEFT + APART * at


def _chip(x: float, y: float, word: str, tone: str) -> str:
    return (
        f'<rect class="chip {tone}" x="{x - 28}" y="{y - 17}" width="56" height="34" rx="7"/>'
        + _words("word", x, y + 6, word)
    )


def _head(x: float, y: float, name: str, tone: str) -> str:
    circle = f'<circle class="head {tone}" cx="{x}" cy="{y}" r="{HEAD}"/>'
    return circle + _words(f"{tone} name", x, y + 5, name)


def _cross(x: float, y: float) -> str:
    r = HEAD * 0.8
    lines = (f"M{x - r} {y + way * r}L{x + r} {y - way * r}" for way in (1, -1))
    return f'<path class="cross" d="{"".join(lines)}"/>'


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
    shown = html.escape(said)
    return f'<text class="{tone}" x="{x}" y="{y}" text-anchor="{anchor}">{shown}</text>'


def _sentence(step: dict[str, Any]) -> str:
    """A step's sentence as HTML, its tokens as code."""
    return QUOTED.sub(r"<code>\1</code>", html.escape(step["sentence"]))
