"""The made book: whole, small, the same each time, and in step with notebooks and checks."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from circuits_course.authoring.book.documents import document_pages
from circuits_course.authoring.book.links import dead_links
from circuits_course.authoring.book.making import ROOT, chapters_solved
from circuits_course.authoring.build import load_checks, notebook_path
from circuits_course.checks.references import reference_source, stub_source
from circuits_course.cli import app
from circuits_course.page.messages import prose

MB = 1_000_000
WHOLE, FIRST_PICTURE = 25 * MB, 1.5 * MB
CHAPTERS = chapters_solved()


def files(site: Path) -> dict[str, bytes]:
    return {str(p.relative_to(site)): p.read_bytes() for p in site.rglob("*") if p.is_file()}


def text(page: str) -> str:
    """The words of a page."""
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_every_link_leads_somewhere(site):
    assert dead_links(site) == []


def test_the_whole_book_is_small(site):
    assert sum(map(len, files(site).values())) < WHOLE


def test_the_command_makes_the_same_files_again(site, tmp_path):
    done = CliRunner().invoke(app, ["book", str(tmp_path / "again")])
    assert done.exit_code == 0, done.output
    again, once = files(tmp_path / "again"), files(site)
    assert sorted(again) == sorted(once)
    assert [name for name in once if once[name] != again[name]] == []


@pytest.mark.parametrize("page", document_pages(ROOT).values())
def test_every_document_is_a_page(site, page):
    assert (site / f"{page}.html").is_file()


@pytest.mark.parametrize(
    "room", sorted(p.parent for p in ROOT.glob("circuits_course/*/__init__.pyi"))
)
def test_what_a_room_offers_is_in_the_reference(site, room):
    offered = re.findall(r" import (\w+) as \1$", (room / "__init__.pyi").read_text(), re.MULTILINE)
    page = (site / "reference" / f"{room.name}.html").read_text(encoding="utf-8")
    missing = [n for n in offered if f'id="circuits_course.{room.name}.{n}"' not in page]
    assert missing == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_page_says_what_its_notebook_and_checks_say(site, chapter):
    """A lane against drift: every answer, hint, question, picture and word of an output."""
    page = (site / "chapters" / f"{chapter}.html").read_text(encoding="utf-8")
    checks, words = load_checks(chapter), text(page)
    for name, exercise in checks.exercises.items():
        assert f'id="exercise-{name}"' in page
        said = [text(prose(hint)) for hint in exercise.hints]
        said += [reference_source(chapter, name), stub_source(chapter, name)]
        assert [part for part in said if part not in words] == [], name
    asked = set(re.findall(r'<form class="question" data-name="[^"/]+/(\w+)"', page))
    kinds = checks.questions
    assert asked == {*kinds.predictions, *kinds.quizzes, *kinds.explanations}
    revealed = set(re.findall(r'<div class="reveal" data-name="[^"/]+/(\w+)"', page))
    assert revealed == set(kinds.predictions)
    solved = nbformat.read(notebook_path(chapter, "solutions"), as_version=4)
    outputs = [out for cell in solved.cells for out in cell.get("outputs", [])]
    pictures = sum("image/png" in out.get("data", {}) for out in outputs)
    assert len(re.findall(r'<figure class="(?:picture|drawing)">', page)) == pictures
    printed = [line for out in outputs for line in out.get("text", "").splitlines()]
    assert [line for line in printed if line not in words] == []


def test_a_chapter_begins_light(site):
    """What a reader fetches up to the first picture of chapter 00, plotly not among it."""
    page = (site / "chapters" / "00_start_here.html").read_text(encoding="utf-8")
    fetched = re.findall(r'<(?:link[^>]+href|script[^>]+src)="([^"#?]+)', page)
    first = re.search(r'<img src="([^"]+)"', page)
    assert first is not None
    paths = {(site / "chapters" / name).resolve() for name in [*fetched, first[1]]}
    total = len(page.encode()) + sum(p.stat().st_size for p in paths if p.is_file())
    assert total < FIRST_PICTURE
    assert not any(p.name == "plotly.min.js" for p in paths)


def test_nothing_of_this_machine_is_in_the_book(site):
    for name, content in files(site).items():
        assert str(ROOT).encode() not in content, name
        assert b"circuits-course-book-" not in content, name
