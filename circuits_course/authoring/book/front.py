"""The front page's cards: what each chapter teaches, how long it takes, what it builds on."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass

from circuits_course.authoring.build import notebook_path
from circuits_course.errors import CourseError
from circuits_course.page.messages import marked

PARTS = {"able": "You will be able to", "time": "Time", "need": "You need"}


@dataclass(frozen=True)
class Card:
    """What a chapter's first cell says of it, as text with the marks of Markdown."""

    chapter: str
    title: str
    able: str
    time: str
    need: str

    @classmethod
    def read(cls, chapter: str) -> Card:
        """Raises CourseError where the first cell leaves one of the parts out."""
        notebook = json.loads(notebook_path(chapter, "solutions").read_text(encoding="utf-8"))
        text = "".join(notebook["cells"][0]["source"])
        parts = {name: _part(text, label) for name, label in PARTS.items()}
        if missing := [PARTS[name] for name, said in parts.items() if not said]:
            raise CourseError(f"{chapter}: its first cell does not say **{missing[0]}**.")
        title = text.partition("\n")[0].removeprefix("# ")
        return cls(chapter, title, **parts)

    def html(self) -> str:
        """One entry of the list of chapters."""
        number, _, name = self.title.partition(" ")
        return (
            f'<li><a href="chapters/{self.chapter}.html"><span class="number">{number}</span> '
            f"{html.escape(name)}</a><p>{_shown(_capital(self.able))}</p>"
            f"<dl><dt>Time</dt><dd>{_shown(self.time)}</dd>"
            f"<dt>You need</dt><dd>{_shown(self.need)}</dd></dl></li>"
        )


def chapter_cards(chapters: list[str]) -> str:
    """The list of chapters."""
    return f'<ol class="chapters">{"".join(Card.read(name).html() for name in chapters)}</ol>'


def _part(text: str, label: str) -> str:
    found = re.search(rf"\*\*{label}\*\*\s+(.*?)(?=\*\*[A-Z]|\n\n|\Z)", text, re.DOTALL)
    return re.sub(r"\s+", " ", found[1]).strip() if found else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(text: str) -> str:
    """Marks rendered; formulas in a few letters (`$W_{OV}$`) as code."""
    return marked(re.sub(r"\$([^$]+)\$", lambda m: f"`{re.sub('[{}]', '', m[1])}`", text))
