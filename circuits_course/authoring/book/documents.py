"""The course's documents as pages: the same text, its links led to where they are in the book."""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

from circuits_course.authoring.book.places import Published

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
SETUP = ("Setting up in other ways", "Models", "When something does not work")
# Documents outside docs/, and what their pages are called.
ELSEWHERE = {"README.md": "setup", "CONTRIBUTING.md": "contributing"}


def stage_documents(root: Path, place: Path, published: Published | None) -> None:
    """Writes every document of the checkout `root` into the folder `place` as a page's source."""
    pages = document_pages(root)
    for path, page in pages.items():
        text = (root / path).read_text(encoding="utf-8")
        text = setup_page(text) if path == "README.md" else text
        (place / f"{page}.md").write_text(led(text, path, pages, published), encoding="utf-8")
    shutil.copytree(root / "docs" / "images", place / "images")


def document_pages(root: Path) -> dict[str, str]:
    """Documents, by their path in the repository, and what their pages are called."""
    inside = {f"docs/{path.name}": path.stem for path in sorted((root / "docs").glob("*.md"))}
    return {**ELSEWHERE, **inside}


def setup_page(readme: str) -> str:
    """Of the README what somebody needs who sets the course up."""
    parts = {p.partition("\n")[0]: p for p in re.split(r"^## ", readme, flags=re.MULTILINE)}
    return "# Setting up\n\n" + "".join(f"## {parts[name]}" for name in SETUP)


def led(text: str, path: str, pages: dict[str, str], published: Published | None) -> str:
    """A document's text with each link of the repository led to its page.

    A file that is no page is led to the published repository, or else loses its link.
    """

    def lead(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        file, hash_, part = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        if image:
            return f"![{words}]({place.removeprefix('docs/')})"
        if place in pages:
            return f"[{words}]({pages[place]}.md{hash_}{part})"
        if re.fullmatch(r"(notebooks|solutions)/\d\d_\w+\.ipynb", place):
            return f"[{words}](chapters/{posixpath.basename(place)})"
        return f"[{words}]({published.file(place)})" if published else words

    blocks = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(b if b.startswith("```") else LINK.sub(lead, b) for b in blocks)
