"""English to measure models on: passages in the public domain, shipped with the course."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from circuits_course.errors import UnknownName

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Source:
    """Where a passage comes from, and what was changed in it."""

    title: str
    author: str
    year: int
    extent: str
    changes: str


SOURCES = {
    "pride": Source(
        "Pride and Prejudice",
        "Jane Austen",
        1813,
        "the opening of chapter I, 387 words",
        "wording of the first edition; straight quotation marks",
    ),
    "alice": Source(
        "Alice's Adventures in Wonderland",
        "Lewis Carroll",
        1865,
        "chapters I and II, 4,234 words",
        "Project Gutenberg's Millennium Fulcrum edition 2.9, a misprint mended; headings and rows "
        "of stars left out, lines of verse run on; straight quotation marks; emphasis in capitals",
    ),
}


def passage(name: str = "alice") -> str:
    """The text of a passage, one line a paragraph, an empty line between paragraphs.

    `SOURCES[name]` says where it comes from. Raises UnknownName with the nearest names. A language
    model may know the openings of famous books by heart: measure its loss before you call them
    ordinary text.
    """
    if name not in SOURCES:
        raise UnknownName("passage", name, SOURCES)
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
