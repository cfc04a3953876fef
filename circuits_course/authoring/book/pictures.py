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
from circuits_course.plots.explorers.circuit import DATA as CIRCUIT
from circuits_course.plots.figure import PLOTLY
from circuits_course.storage import write_whole

PNG, SVG, PAGE, TEXT = "image/png", "image/svg+xml", "text/html", "text/plain"
FOLDER = "pictures"
WORDS = '<details class="circuits-words"'


class Pictures:
    """Writes the pictures of one chapter into the site's static files, under their hash.

    static: that folder; up: how a page of the chapter gets to it.
    """

    def __init__(self, static: Path, up: str) -> None:
        self.static, self.up = static, up

    def output_html(self, data: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
        """The HTML of an output's mime bundle; None where it is text alone.

        about: its metadata. A drawing (SVG) goes into the page itself, a still picture into a file,
        and the data of an interactive one beside it: a script may wake it, and without scripts the
        picture stands.
        """
        if SVG in data:
            return f'<figure class="drawing">{joined(data[SVG])}</figure>'
        if PNG in data:
            return self._figure(data, about.get(PNG, {}))
        return joined(data[PAGE]) if PAGE in data else None

    def _figure(self, data: Mapping[str, Any], about: Mapping[str, Any]) -> str:
        title, alt, numbers = words(joined(data.get(TEXT, "")))
        still = self._image(data[PNG], f"{title}. {alt}", about.get("width"))
        if not numbers.strip() and PLOTLY not in data:
            return f'<figure class="drawing">{still}</figure>'
        parts = [f'<div class="still">{still}</div>']
        if CIRCUIT in data:
            parts.append(_script(json.loads(joined(data[CIRCUIT])), kind="circuit"))
        elif PLOTLY in data:
            parts.append(_script(data[PLOTLY], kind="plot"))
        said = f"<p>{html.escape(alt)}</p><pre>{html.escape(numbers)}</pre>"
        parts.append(fold("numbers", "In words and numbers", said))
        return f'<figure class="picture">{"".join(parts)}</figure>'

    def _image(self, encoded: str | list[str], alt: str, shown: int | None) -> str:
        """shown: the width in which the picture is meant to be seen, if not its own."""
        content = base64.b64decode(joined(encoded))
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.png"
        write_whole(self.static / FOLDER / name, content)
        width, height = struct.unpack(">II", content[16:24])
        wide = shown or width
        size = f'width="{wide}" height="{height * wide // width}"'
        place = f"{self.up}/{FOLDER}/{name}"
        return f'<img src="{place}" {size} loading="lazy" alt="{html.escape(alt)}">'


def is_words(out: Mapping[str, Any]) -> bool:
    """Whether an output is what a notebook says below a figure; a page says it with the figure."""
    return WORDS in joined(out.get("data", {}).get(PAGE, ""))


def joined(text: str | list[str]) -> str:
    """A notebook's text, which is stored in one piece or in lines."""
    return text if isinstance(text, str) else "".join(text)


def words(text: str) -> tuple[str, str, str]:
    """Title, description and numbers of a figure's text form."""
    title, _, rest = text.partition("\n")
    alt, _, numbers = rest.partition("\n")
    return title, alt, numbers


def _script(data: Any, kind: str) -> str:
    """Data for the page's scripts: nothing in it can end the element."""
    packed = json.dumps(data, separators=(",", ":"), sort_keys=kind == "plot")
    safe = packed.replace("<", "\\u003c")
    return f'<script type="application/json" class="{kind}">{safe}</script>'
