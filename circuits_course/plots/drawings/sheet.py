"""A sheet of paper with the simplest marks on it, and what becomes of it: SVG, PNG, words."""

from __future__ import annotations

import base64
import html
import io
import json
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.page.messages import in_notebook
from circuits_course.plots.drawings.colours import DARK, LIGHT, css, plain, style
from circuits_course.plots.drawings.fonts import font_file

WIDTH = 680
TEXT, SMALL = 14, 13
ZOOM = 2  # of the still picture: sharp on fine screens
COLOURS_IN_PNG = 48

Point = tuple[float, float]


@dataclass
class Sheet:
    """An SVG in the making: y grows downward, lengths are pixels at a width of 680.

    title: a few words; description: the whole idea, for those who cannot see it.
    """

    title: str
    description: str
    height: int
    width: int = WIDTH
    marks: list[str] = field(default_factory=list, repr=False)

    def mark(self, tag: str, body: str | None = None, **attributes: Any) -> None:
        """One SVG element. Colours are given by name; `_` in an attribute's name stands for `-`."""
        parts = [f"<{tag}"]
        for name, value in attributes.items():
            if value is None:
                continue
            if name in ("fill", "stroke") and value != "none":
                value = css(value)
            parts.append(f' {name.replace("_", "-")}="{_short(value)}"')
        self.marks.append("".join(parts) + ("/>" if body is None else f">{body}</{tag}>"))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        tone: str = "ink",
        size: int = TEXT,
        bold: bool = False,
        anchor: str | None = "middle",
        halo: bool = True,
    ) -> None:
        """Lines of text, the first with its baseline at y; a halo keeps lines behind it apart."""
        around: dict[str, Any] = {"stroke": "bg", "stroke_width": 5, "paint_order": "stroke"}
        for i, line in enumerate(words.split("\n") if words else ()):
            self.mark(
                "text",
                html.escape(line),
                x=x,
                y=y + i * (size + 4),
                fill=tone,
                text_anchor=None if anchor == "start" else anchor,
                font_size=None if size == TEXT else size,
                font_weight="bold" if bold else None,
                **(around if halo else {}),
            )

    @property
    def _inside(self) -> str:
        key = sha256("".join([self.title, self.description, *self.marks]).encode()).hexdigest()[:8]
        ground = f'<rect width="{self.width}" height="{self.height}" fill="{css("bg")}"/>'
        return (
            f'role="img" aria-labelledby="t{key} d{key}" '
            f'font-family="system-ui,DejaVu Sans,sans-serif" font-size="{TEXT}">'
            f'<title id="t{key}">{html.escape(self.title)}</title>'
            f'<desc id="d{key}">{html.escape(self.description)}</desc>%s'
            f"{ground}{''.join(self.marks)}</svg>"
        )

    @property
    def _opening(self) -> str:
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}'

    @property
    def svg(self) -> str:
        """The drawing, in the colours of the page it stands in."""
        shrink = 'class="cc-drawing" style="max-width:100%;height:auto"'
        return f"{self._opening} {shrink} {self._inside % style()}"

    def still(self, dark: bool = False) -> str:
        """The drawing as SVG in fixed colours, without a style sheet."""
        height = f'height="{self.height}"'
        return plain(f"{self._opening} {height} {self._inside % ''}", DARK if dark else LIGHT)

    @cached_property
    def png(self) -> bytes:
        """The still picture on white; the same bytes for the same drawing."""
        return picture(self.still())

    @property
    def _alt(self) -> str:
        return f"{self.title}. {self.description}"

    def __repr__(self) -> str:
        return f"{self.title}\n{self.description}"

    def _repr_mimebundle_(self, **_wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Words and a still picture, as a saved notebook shows it; the SVG where one is live."""
        still = base64.b64encode(self.png).decode()
        bundle = {"text/plain": repr(self), "image/png": still}
        if in_notebook():
            bundle["text/html"] = self._page(still)
        return bundle, {"image/png": {"width": self.width, "alt": self._alt}}

    def _page(self, still: str) -> str:
        """A picture that a script replaces by the SVG.

        Pages that take scripts and SVG out (GitHub, a notebook that is not trusted) keep the
        picture; with the SVG in the page itself they would keep its loose words.
        """
        alt = html.escape(self._alt, quote=True)
        key = sha256(self.svg.encode()).hexdigest()[:8]
        slot, svg = f"drawing-{key}", json.dumps(self.svg).replace("</", "<\\/")
        size = f'width="{self.width}" style="max-width:100%"'
        return (
            f'<div class="{slot}">'
            f'<img src="data:image/png;base64,{still}" alt="{alt}" {size}></div>'
            f'<script>for (const slot of document.querySelectorAll(".{slot}")) '
            f"slot.innerHTML = {svg};</script>"
        )

    def show(self) -> None:
        """Display the drawing in a notebook, or print its words outside of one."""
        if in_notebook():
            from IPython.display import display

            display(self)
        else:
            print(repr(self))


def picture(svg: str, zoom: float = ZOOM) -> bytes:
    """A PNG of an SVG in fixed colours, with few colours so that it is small."""
    try:
        from resvg_py import svg_to_bytes
    except ModuleNotFoundError:
        raise CourseError(
            "A drawing's still picture needs resvg-py: python -m pip install resvg-py"
        ) from None
    from PIL import Image

    drawn = svg_to_bytes(
        svg_string=svg,
        zoom=zoom,
        skip_system_fonts=True,
        font_files=[font_file(False), font_file(True)],
        font_family="DejaVu Sans",
    )
    pixels = Image.open(io.BytesIO(bytes(drawn))).convert("RGB")
    out = io.BytesIO()
    pixels.quantize(COLOURS_IN_PNG, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def _short(value: Any) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
