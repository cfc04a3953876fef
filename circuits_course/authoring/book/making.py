"""Making the book: its source is laid out in a scratch folder, and Sphinx makes the pages."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from circuits_course.authoring.book import walk
from circuits_course.authoring.book.chapter_pages import chapter_page, raw_html
from circuits_course.authoring.book.documents import document_pages, stage_documents
from circuits_course.authoring.book.front import chapter_cards
from circuits_course.authoring.book.links import dead_links
from circuits_course.authoring.book.pictures import Pictures
from circuits_course.authoring.book.places import DOWNLOADS, Published
from circuits_course.authoring.book.reference import stage_reference
from circuits_course.authoring.book.walk_drawing import walk_html
from circuits_course.authoring.build import notebook_path
from circuits_course.checks.chapters import CHAPTERS
from circuits_course.errors import CourseError
from circuits_course.storage import PACKAGE

ROOT = PACKAGE.parent
BOOK = ROOT / "docs" / "book"
NEEDED = ("sphinx", "myst_nb", "furo", "sphinx_copybutton")
# What Sphinx and its theme leave unsaid to those who hear a page.
UNSAID = {
    'p class="caption" role="heading"': 'aria-level="2"',
    'aside class="sidebar-drawer"': 'aria-label="The book"',
    'aside class="toc-drawer"': 'aria-label="This page"',
    'aside class="toc-drawer no-toc"': 'aria-label="This page"',
}
SHOWN = 12  # lines of Sphinx's complaints


def make_book(out: Path, published: Published | None = None) -> Path:
    """Writes the site into `out`, anew, and follows every link in it; returns its front page.

    published: fills in the links that lead to the repository; without it they are left out. The
    same sources give the same files. Raises CourseError where something is missing, where Sphinx
    complains, or for a link that leads nowhere.
    """
    _require(out)
    with tempfile.TemporaryDirectory(prefix="circuits-course-book-") as scratch:
        source, site = Path(scratch) / "source", Path(scratch) / "site"
        stage(source, published)
        _sphinx(source, site, Path(scratch) / "doctrees")
        if dead := dead_links(site):
            raise CourseError("Links of the book that lead nowhere:\n" + "\n".join(dead[:SHOWN]))
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(site, out)
    return out / "index.html"


def chapters_solved() -> list[str]:
    """Chapters that have a solved notebook, in order."""
    return [name for name in CHAPTERS if notebook_path(name, "solutions").is_file()]


def stage(place: Path, published: Published | None) -> None:
    """Lays out in the new folder `place` all that Sphinx reads."""
    shutil.copytree(BOOK, place)
    static = place / "_static"
    (place / "chapters").mkdir()
    downloads = place / "extra" / DOWNLOADS
    downloads.mkdir(parents=True)
    names = chapters_solved()
    for name in names:
        page = chapter_page(name, Pictures(static, up="../_static"), published)
        (place / "chapters" / f"{name}.ipynb").write_text(page, encoding="utf-8")
        shutil.copy(notebook_path(name, "notebooks"), downloads)
    _stage_front(place, names)
    _stage_plotly(static)
    _stage_circuits(static)
    stage_documents(ROOT, place, published)
    stage_reference(ROOT, place / "reference")


def _stage_front(place: Path, names: list[str]) -> None:
    front = place / "index.md"
    text = front.read_text(encoding="utf-8")
    parts = {"chapters": chapter_cards(names), "walk": walk_html(walk.load())}
    for name, page in parts.items():
        text = text.replace(f"<!-- {name} -->", raw_html(page))
    pages = [
        page for page in document_pages(ROOT).values() if not re.search(rf"^{page}$", text, re.M)
    ]
    text = text.replace("<!-- documents -->", "\n".join(pages))
    front.write_text(text, encoding="utf-8")


def _stage_plotly(static: Path) -> None:
    """The bundle that the plotly package carries; a page fetches it when a figure is looked at."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    shutil.copy(Path(spec.origin).parent / "package_data" / "plotly.min.js", static)


def _stage_circuits(static: Path) -> None:
    """What makes a circuit answer is the notebooks' own script."""
    for name in ("circuit.js", "circuit.css"):
        shutil.copy(PACKAGE / "page" / "static" / name, static)


def _require(out: Path) -> None:
    if not BOOK.is_dir():
        raise CourseError("The book is made from a checkout of the course; here is only its wheel.")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise CourseError(f"{missing[0]} is missing; run: pip install 'circuits-course[book]'")
    if out.exists() and any(out.iterdir()) and not (out / "objects.inv").is_file():
        raise CourseError(f"{out} holds something else than a book; give a new folder.")


def _sphinx(source: Path, site: Path, doctrees: Path) -> None:
    """Every complaint is an error: a page with a hole in it is no page."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
    done = subprocess.run(
        [*command, "-d", str(doctrees), str(source), str(site)],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.replace(str(source), "").strip().splitlines()
        raise CourseError("Sphinx could not make the book:\n" + "\n".join(said[:SHOWN]))
    (site / ".buildinfo").unlink(missing_ok=True)  # only the next build would need it
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for element, words in UNSAID.items():
            text = text.replace(f"<{element}>", f"<{element} {words}>")
        page.write_text(text, encoding="utf-8")
