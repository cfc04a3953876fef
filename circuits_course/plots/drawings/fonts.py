"""How wide a text is, and the font files that a still picture is made with.

DejaVu Sans, which matplotlib brings along, is wider than the fonts that browsers choose: what fits
in it fits everywhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

EM = 100
FILES = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}


@cache
def font_file(bold: bool) -> str:
    """The path of the font's file."""
    from matplotlib import get_data_path

    return str(Path(get_data_path()) / "fonts" / "ttf" / FILES[bold])


@cache
def _font(bold: bool) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(font_file(bold), EM)


def text_width(words: str, size: float, bold: bool = False) -> float:
    """Width of one line in the drawing's units."""
    return _font(bold).getlength(words) * size / EM
