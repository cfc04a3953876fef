"""All drawings on one page: `python -m circuits_course.plots.drawings.contact_sheet FILE.png`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from circuits_course.plots.drawings.fonts import font_file
from circuits_course.plots.drawings.gallery import DRAWINGS
from circuits_course.plots.drawings.sheet import COLOURS_IN_PNG, WIDTH, picture

COLUMNS, ZOOM, MARGIN, CAPTION = 4, 0.6, 10, 24


def contact_sheet() -> bytes:
    """A PNG of every drawing, light, in the order of the chapters."""
    from PIL import Image

    tiles = [_tile(name) for name in DRAWINGS]
    rows = [tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)]
    heights = [max(tile.height for tile in row) + MARGIN for row in rows]
    width = COLUMNS * (round(WIDTH * ZOOM) + MARGIN) + MARGIN
    page = Image.new("RGB", (width, sum(heights) + MARGIN), "#c4cbd3")
    for j, row in enumerate(rows):
        for i, tile in enumerate(row):
            left = MARGIN + i * (round(WIDTH * ZOOM) + MARGIN)
            page.paste(tile, (left, MARGIN + sum(heights[:j])))
    out = io.BytesIO()
    page.quantize(2 * COLOURS_IN_PNG, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def _tile(name: str) -> Any:
    """A drawing with its name below."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = Image.open(io.BytesIO(picture(DRAWINGS[name]().still(), ZOOM)))
    tile = Image.new("RGB", (drawn.width, drawn.height + CAPTION), "white")
    tile.paste(drawn, (0, 0))
    font = ImageFont.truetype(font_file(True), 13)
    ImageDraw.Draw(tile).text((10, drawn.height), name, fill="#1f2933", font=font)
    return tile


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(contact_sheet())
