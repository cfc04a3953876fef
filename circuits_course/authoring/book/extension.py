"""What the book adds to Sphinx: formulas without scripts, the map of the rooms, docstrings."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from typing import Any

MAP = re.compile(r'^\s*(\w+)\["([^"]+)"\]\s*$', re.MULTILINE)
ARROWS = re.compile(r"^\s*(\w+(?: (?:&|-->) \w+)+)\s*$", re.MULTILINE)
BARE_SIZE = re.compile(r"\\([bB]igg?)(?=[|(\[)\]/])")
LEGEND = "<p><small>Each room may import what stands on the floors below it.</small></p>"
SPOKEN = re.compile(r"``[^`]+``|`([^`]+)`|([*|\\]|_(?=\W|$))")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    from docutils import nodes

    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("autodoc-process-docstring", _plain_docstring)
    app.connect("doctree-read", lambda _, doctree: _draw_maps(doctree, nodes))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(tex: str, block: bool) -> str:
    """A formula as MathML, which browsers draw and screen readers read without any script.

    Raises docutils.utils.math.MathError for what it does not know.
    """
    from docutils.utils.math.latex2mathml import tex2mathml

    return tex2mathml(BARE_SIZE.sub(r"\\\1l", tex), as_block=block)


def _inline(writer: Any, node: Any) -> None:
    _write(writer, node, block=False)


def _block(writer: Any, node: Any) -> None:
    writer.body.append('<div class="math" tabindex="0">')
    _write(writer, node, block=True)
    writer.body.append("</div>")
    raise _skip()


def _write(writer: Any, node: Any, block: bool) -> None:
    from docutils.utils.math import MathError
    from sphinx.util import logging

    tex = node.astext()
    try:
        writer.body.append(mathml(tex, block))
    except MathError as error:
        message = "the formula %r cannot be shown: %s"
        logging.getLogger(__name__).warning(message, tex, error, location=node)
        writer.body.append(f"<code>{html.escape(tex)}</code>")
    if not block:
        raise _skip()


def _skip() -> Exception:
    from docutils.nodes import SkipNode

    return SkipNode()


# --- the map of the rooms ---------------------------------------------------------------------


def floors(chart: str) -> list[list[str]]:
    """The boxes of a Mermaid flow chart by floors: each stands below all that point to it, and a
    box that nothing points to, other than the first, right above what it points to."""
    words = dict(MAP.findall(chart))
    below: dict[str, set[str]] = {name: set() for name in words}
    for line in ARROWS.findall(chart):
        steps = [step.split(" & ") for step in line.split(" --> ")]
        for above, under in pairwise(steps):
            for name in above:
                below[name].update(under)
    depth = dict.fromkeys(words, 0)
    for _ in words:
        for name, under in below.items():
            for other in under:
                depth[other] = max(depth[other], depth[name] + 1)
    pointed_at = set().union(*below.values())
    for name in [name for name in words if name not in pointed_at][1:]:
        depth[name] = min((depth[other] for other in below[name]), default=1) - 1
    return [
        [words[name] for name in words if depth[name] == floor]
        for floor in range(max(depth.values(), default=-1) + 1)
    ]


def _draw_maps(doctree: Any, nodes: Any) -> None:
    """A Mermaid chart becomes rows of boxes: no script, and text that can be searched."""
    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") == "mermaid":
            rows = "".join(_floor(boxes) for boxes in floors(block.astext()))
            block.replace_self(
                nodes.raw("", f'<ol class="floors">{rows}</ol>{LEGEND}', format="html")
            )


def _floor(boxes: list[str]) -> str:
    parts = (box.partition(":") for box in boxes)
    shown = (f"<span><b>{html.escape(n)}</b>{html.escape(s)}</span>" for n, _, s in parts)
    return f"<li>{''.join(shown)}</li>"


# --- docstrings -------------------------------------------------------------------------------


def _plain_docstring(
    _app: Any, _what: str, _name: str, _thing: Any, _opts: Any, lines: Any
) -> None:
    """Our docstrings are plain words with `code`; a star or a bar in them is a star or a bar."""
    paragraphs = "\n".join(lines).rstrip().split("\n\n")
    lines[:] = [*"\n\n".join(map(plain_paragraph, paragraphs)).split("\n"), ""]


def plain_paragraph(text: str) -> str:
    """A paragraph of a docstring as reStructuredText; what is set off by spaces keeps its lines."""
    first, *rest = text.split("\n")
    if any(line.startswith(" ") for line in (first, *rest)) and not first.startswith("- "):
        return "::\n\n" + "\n".join(f"    {line}" for line in (first, *rest))
    return SPOKEN.sub(_spoken, text)


def _spoken(found: re.Match[str]) -> str:
    code, sign = found.groups()
    if sign:
        return f"\\{sign}"
    return f"``{code}``" if code else found[0]
