"""Where a reader of a page can open what they read: a download, Colab, Binder, this machine."""

from __future__ import annotations

import html
from dataclasses import dataclass

from circuits_course.authoring.publish import require_published
from circuits_course.storage import PACKAGE

ROOT = PACKAGE.parent
DOWNLOADS = "downloads"


@dataclass(frozen=True)
class Published:
    """The repository ("owner/name" on GitHub) and the tag that the links of a book lead to.

    copies: the repository's folder with the copies for Colab. Raises CourseError for a repo or ref
    that GitHub cannot have.
    """

    repo: str
    ref: str
    copies: str = "colab"

    def __post_init__(self) -> None:
        require_published(self.repo, self.ref)

    def file(self, path: str) -> str:
        """Address of a file of the repository."""
        return f"https://github.com/{self.repo}/blob/{self.ref}/{path}"

    def colab(self, chapter: str) -> str | None:
        """Address that opens the stamped copy of a chapter on Colab; None where the repository has
        no such copy."""
        copy = f"{self.copies}/{chapter}.ipynb"
        if not (ROOT / copy).is_file():
            return None
        return f"https://colab.research.google.com/github/{self.repo}/blob/{self.ref}/{copy}"

    def binder(self, chapter: str) -> str:
        """Address that builds the repository on Binder and opens a chapter."""
        place = f"{self.repo}/{self.ref}?labpath=notebooks%2F{chapter}.ipynb"
        return f"https://mybinder.org/v2/gh/{place}"

    def command(self, chapter: str) -> str:
        """What installs the course and opens a downloaded chapter on the reader's machine."""
        package = f'"circuits-course[lab] @ git+https://github.com/{self.repo}@{self.ref}"'
        return f"pip install {package} && jupyter lab {chapter}.ipynb"


def ways_in(chapter: str, published: Published | None) -> str:
    """The line of links below a chapter's title; without `published` those that need no network."""
    links = [f'<a href="../{DOWNLOADS}/{chapter}.ipynb" download>Download the notebook</a>']
    if published:
        if colab := published.colab(chapter):
            links.append(f'<a href="{html.escape(colab)}">Open in Colab</a>')
        links.append(f'<a href="{html.escape(published.binder(chapter))}">Open in Binder</a>')
    command = published.command(chapter) if published else f"make lab CHAPTER={chapter[:2]}"
    where = "beside the download" if published else "in a copy of the course"
    return (
        f'<nav class="ways-in" aria-label="Do this chapter yourself">{"".join(links)}'
        f"<span>Run it here, {where}: <code>{html.escape(command)}</code></span></nav>"
    )
