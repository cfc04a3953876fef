"""Showing a message: as a framed box in a notebook, as plain text elsewhere."""

from __future__ import annotations

import html
import re
import sys
from typing import Any

from circuits_course.page.saved_form import with_widget
from circuits_course.page.signs import print_anywhere

# Dark enough on white, light enough on a dark theme; glyph and word carry the meaning.
CODE = re.compile(r"`([^`]+)`")
STRONG = re.compile(r"\*\*(\S(?:.*?\S)?)\*\*")
STRESS = re.compile(r"(?<![\w*])\*(\S(?:[^*]*?\S)?)\*(?![\w*])")
COLOURS = {"good": "#2da44e", "bad": "#cf5b4b", "open": "#8c8c8c", "note": "#4b83cf"}


def in_notebook() -> bool:
    """Whether rich output can be shown: an IPython kernel is running."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def show(text: str, *, tone: str = "note", body: str | None = None, widget: Any = None) -> None:
    """Shows a message; `body` is its HTML where escaped text is not enough.

    A live front end shows `widget` where one is given; a saved notebook the box.
    """
    if not in_notebook():
        print_anywhere()
        print(text)
        return
    from IPython.display import display

    bundle: dict[str, Any] = {"text/plain": text, "text/html": box(body or prose(text), tone)}
    if widget is not None:
        bundle = with_widget(bundle, bundle["text/html"], widget)
    display(bundle, raw=True)


def box(body: str, tone: str) -> str:
    """A box with a coloured edge around HTML."""
    style = f"border-left:4px solid {COLOURS[tone]};padding:.3em .9em;margin:.3em 0"
    return f'<div role="status" style="{style}">{body}</div>'


def prose(text: str) -> str:
    """Text as HTML: escaped, marks rendered, line breaks kept, indented lines as code."""
    lines = [_line(line) for line in text.split("\n")]
    return "".join(lines)


def _line(line: str) -> str:
    if line.startswith("  "):
        return code(line.strip())
    return f'<p style="margin:.2em 0">{marked(line)}</p>'


def marked(line: str) -> str:
    """One line as HTML: `code` in a code face, *this* stressed, **this** strong."""
    parts = CODE.split(html.escape(line))
    for i in range(0, len(parts), 2):  # the odd ones are code, in which a star is a star
        parts[i] = STRESS.sub(r"<em>\1</em>", STRONG.sub(r"<strong>\1</strong>", parts[i]))
    return "".join(p if i % 2 == 0 else f"<code>{p}</code>" for i, p in enumerate(parts))


def unmarked(line: str) -> str:
    """One line without its marks, for places that show plain text only."""
    parts = CODE.split(line)
    parts[::2] = [STRESS.sub(r"\1", STRONG.sub(r"\1", part)) for part in parts[::2]]
    return "".join(parts)


def code(source: str) -> str:
    """Source lines as HTML."""
    style = "margin:.1em 0 .1em 1em;white-space:pre-wrap"
    return f'<pre style="{style}">{html.escape(source)}</pre>'
