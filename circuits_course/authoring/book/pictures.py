"""A cell's output as a page shows it: pictures in files of their own, figures that can wake up."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuits_course.authoring.book.exercises import fold
from circuits_course.plots.figure import PLOTLY
from circuits_course.storage import write_whole

PNG, SVG, PAGE, TEXT = "image/png", "image/svg+xml", "text/html", "text/plain"
FOLDER = "pictures"


class Pictures:
    """Writes the pictures of one chapter into the site's static files, under their hash.

    static: that folder; up: how a page of the chapter gets to it.
    """

    def __init__(self, static: Path, up: str) -> None:
        self.static, self.up = static, up

    def output_html(self, data: Mapping[str, Any]) -> str | None:
        """The HTML of an output's mime bundle; None where it is text alone.

        A drawing (SVG) goes into the page itself, a still picture into a file, and the data of an
        interactive one beside it: a script may wake it, and without scripts the picture stands.
        """
        if SVG in data:
            return f'<figure class="drawing">{joined(data[SVG])}</figure>'
        if PNG in data:
            return self._figure(data)
        return joined(data[PAGE]) if PAGE in data else None

    def _figure(self, data: Mapping[str, Any]) -> str:
        title, alt, numbers = words(joined(data.get(TEXT, "")))
        still = self._image(data[PNG], f"{title}. {alt}")
        parts = [f'<div class="still">{still}</div>']
        if PLOTLY in data:
            parts.append(f'<script type="application/json">{_plot(data[PLOTLY])}</script>')
        if numbers.strip():
            parts.append(fold("numbers", "Numbers", f"<pre>{html.escape(numbers)}</pre>"))
        return f'<figure class="picture">{"".join(parts)}</figure>'

    def _image(self, encoded: str | list[str], alt: str) -> str:
        content = base64.b64decode(joined(encoded))
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.png"
        write_whole(self.static / FOLDER / name, content)
        width, height = struct.unpack(">II", content[16:24])
        return (
            f'<img src="{self.up}/{FOLDER}/{name}" width="{width}" height="{height}" '
            f'loading="lazy" alt="{html.escape(alt)}">'
        )


def joined(text: str | list[str]) -> str:
    """A notebook's text, which is stored in one piece or in lines."""
    return text if isinstance(text, str) else "".join(text)


def words(text: str) -> tuple[str, str, str]:
    """Title, description and numbers of a figure's text form."""
    title, _, rest = text.partition("\n")
    alt, _, numbers = rest.partition("\n")
    return title, alt, numbers


def _plot(plot: Any) -> str:
    """Data for a script element: nothing in it can end the element."""
    return json.dumps(plot, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")
