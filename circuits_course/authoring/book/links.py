"""Every link of the made book, followed."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REFERENCES = {"href", "src", "action", "data", "poster"}


class _Page(HTMLParser):
    """The names that a page can be entered at, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = {""}
        self.refers: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value for key, value in attrs if value is not None}
        self.names.update(found[key] for key in ("id", "name") if key in found)
        refers = [found[key] for key in REFERENCES & set(found)]
        self.refers += refers
        if tag not in ("a", "form"):
            self.loads += refers


def dead_links(site: Path) -> list[str]:
    """Links inside the site that lead nowhere, and what a page would load from elsewhere.

    A page is also followed to the place in it that a link names. Addresses that a reader has to
    click are not asked for: nothing here needs a network.
    """
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {link} {why}"
        for path, page in pages.items()
        for link, why in _faults(path, page, pages)
    ]


def _faults(path: Path, page: _Page, pages: dict[Path, _Page]) -> Iterator[tuple[str, str]]:
    for link in page.refers:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if link in page.loads and parts.scheme != "data":
                yield link, "would be loaded from elsewhere"
            continue
        target = path if not parts.path else _file(path.parent / unquote(parts.path))
        if not target.is_file():
            yield link, "leads nowhere"
        elif target in pages and unquote(parts.fragment) not in pages[target].names:
            yield link, "names a place that is not on the page"


def _file(target: Path) -> Path:
    target = Path(*target.parts)
    resolved = target.resolve()
    return resolved / "index.html" if resolved.is_dir() else resolved
