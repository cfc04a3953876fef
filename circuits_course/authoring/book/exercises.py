"""An exercise on a page: what to write is open, hints and a right answer are folded."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from circuits_course.page.messages import prose


def exercise_section(name: str, stub: str, hints: Sequence[str], answer: str) -> str:
    """The stub, each hint under a fold of its own, and last a right answer.

    stub, answer: Python source. The folds are native `<details>`: no script, any keyboard.
    """
    folds = [*_hints(hints), fold("answer", "A right answer", highlighted(answer))]
    return (
        f'<section class="exercise" id="exercise-{name}" aria-label="Exercise {name}">'
        f"{highlighted(stub)}{''.join(folds)}</section>"
    )


def highlighted(source: str) -> str:
    """Python source in the markup that Sphinx's own style sheet and copy button know."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    code = highlight(source, PythonLexer(), HtmlFormatter())
    return f'<div class="highlight-python notranslate">{code.strip()}</div>'


def _hints(hints: Sequence[str]) -> Iterator[str]:
    for number, hint in enumerate(hints, start=1):
        yield fold("hint", f"Hint {number} of {len(hints)}", prose(hint))


def fold(kind: str, summary: str, body: str) -> str:
    """A native fold of the page. summary: text, always seen; body: HTML."""
    return f'<details class="fold {kind}"><summary>{html.escape(summary)}</summary>{body}</details>'
