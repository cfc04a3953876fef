"""Drawings in a real browser: its own font fits, the theme of the page reaches them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import chromium, needs_chromium

from circuits_course.plots import draw
from circuits_course.plots.drawings import sheet
from circuits_course.plots.drawings.colours import DARK, LIGHT
from circuits_course.plots.drawings.gallery import DRAWINGS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = needs_chromium

THEMES = {
    "JupyterLab, dark": ('<body data-jp-theme-light="false">', DARK),
    "JupyterLab, light": ('<body data-jp-theme-light="true">', LIGHT),
    "the book, dark": ('<body data-theme="dark">', DARK),
    "a plain page": ("<body>", LIGHT),
}
OUTSIDE = """svg => [...svg.querySelectorAll("text")].filter(text => {
    const box = text.getBBox(), frame = svg.viewBox.baseVal;
    return box.x < 2 || box.y < 2 || box.x + box.width > frame.width - 2
        || box.y + box.height > frame.height - 2;
}).map(text => text.textContent)"""
FIRST_INK = """svg => getComputedStyle(svg.querySelector('[fill="var(--d-ink)"]')).fill"""


@pytest.fixture(scope="module")
def page() -> Iterator[playwright.Page]:
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 900, "height": 700})


def test_every_text_fits_in_the_browsers_own_font(page: playwright.Page) -> None:
    page.set_content("".join(draw(name).svg for name in DRAWINGS))
    drawings = page.locator("svg.cc-drawing").all()
    assert len(drawings) == len(DRAWINGS)
    outside = {name: d.evaluate(OUTSIDE) for name, d in zip(DRAWINGS, drawings, strict=True)}
    assert {name: texts for name, texts in outside.items() if texts} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_the_pages_theme_reaches_a_drawing(page: playwright.Page, theme: str) -> None:
    body, colours = THEMES[theme]
    page.set_content(f"{body}{draw('residual_stream').svg}</body>")
    ink = page.locator("svg.cc-drawing").evaluate(FIRST_INK)
    red, green, blue = (int(colours["ink"][i : i + 2], 16) for i in (1, 3, 5))
    assert ink == f"rgb({red}, {green}, {blue})"


def test_a_live_page_swaps_the_drawing_in(
    page: playwright.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "in_notebook", lambda: True)
    page.set_content(draw("one_head")._repr_mimebundle_()[0]["text/html"])
    named = page.get_by_role("img", name="One head: where it looks, and what it moves")
    playwright.expect(named).to_have_count(1)
    playwright.expect(page.locator("svg.cc-drawing")).to_be_visible()
    playwright.expect(page.locator("body > div > img")).to_have_count(0)
