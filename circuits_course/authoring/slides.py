"""Slides for the quarter of an hour before the first chapter: `make slides`.

One page that needs nothing but itself and a browser: a drawing of the course on each slide, its
question above it and what to see below. Space, arrows down or a swipe lead on; printed, a slide is
a sheet of paper.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from circuits_course.plots.drawings.gallery import draw
from circuits_course.storage import write_whole

SLIDES = {
    "What does the model do with a text?": "text_to_guess",
    "Where do heads read, and where do they write?": "residual_stream",
    "What does one head do? Queries, keys, values": "one_head",
    "How do we draw where it looks?": "attention_arcs",
    "What is the simplest job?": "previous_token",
    "What can two heads do that one cannot?": "induction_two_steps",
}
"""Question -> the drawing that answers it."""

_STYLE = """
html { scroll-snap-type: y mandatory; }
body { margin: 0; font: 22px/1.4 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
section { height: 100vh; box-sizing: border-box; padding: 3vh 5vw; scroll-snap-align: start;
  display: flex; flex-direction: column; gap: 2vh; align-items: center; break-after: page; }
h1 { font-size: 34px; margin: 0; } p { margin: 0; max-width: 60em; }
section > svg { flex: 1; min-height: 0; width: 100%; max-width: 100%; }
footer { font-size: 16px; color: #555; }
"""


def page() -> str:
    """The slides as HTML."""
    slides = [
        _slide(number, question, name) for number, (question, name) in enumerate(SLIDES.items(), 1)
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Transformer Circuits: what a head does</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{''.join(slides)}</body></html>\n"
    )


def _slide(number: int, question: str, name: str) -> str:
    drawing = draw(name)
    return (
        f"<section><h1>{escape(question)}</h1>{drawing.still()}<p>{escape(drawing.description)}</p>"
        f"<footer>{number} of {len(SLIDES)}</footer></section>\n"
    )


if __name__ == "__main__":
    write_whole(Path(sys.argv[1]), page().encode())
