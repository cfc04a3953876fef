"""The book in a real browser, as a reader uses it: by mouse, by keyboard, and without scripts."""

from __future__ import annotations

import http.server
import io
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium, is_stranger, needs_chromium
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

pytestmark = needs_chromium

CHAPTER = "chapters/04_induction_heads.html"
PAGES = (
    "index.html", "chapters/00_start_here.html", CHAPTER, "smollm2_ioi.html", "architecture.html",
    "reference/plots.html",
)  # fmt: skip
GRAVE = ("serious", "critical")
COLOURS = 128  # of the film
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def reader(browser, address) -> Iterator[Any]:
    """Opens pages as somebody with these settings; nothing may leave the machine or complain."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_(path: str, viewport: dict[str, int] = WIDE, **settings: Any) -> Any:
        context = browser.new_context(viewport=viewport, **settings)
        contexts.append(context)
        context.on("request", lambda r: faults.append(r.url) if is_stranger(r.url) else None)
        context.on(
            "response", lambda r: faults.append(f"{r.url} {r.status}") if r.status > 399 else None
        )
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.goto(f"{address}/{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def test_a_circuit_answers_by_keyboard_one_silent_head_at_a_time(reader):
    page = reader(CHAPTER)
    circuit = page.locator(".cc-circuit")
    circuit.scroll_into_view_if_needed()
    chosen, answer = circuit.get_by_role("radio", checked=True), circuit.get_by_role("status")
    whole = answer.inner_text()
    chosen.focus()
    page.keyboard.press("ArrowDown")
    playwright.expect(chosen).to_have_attribute("aria-label", "0.3, previous token")
    circuit.get_by_role("button", name="Silence 0.3").press("Enter")
    playwright.expect(answer).to_contain_text("Silent: 0.3;")
    chosen.focus()
    page.keyboard.press("ArrowUp")
    circuit.get_by_role("button", name="Silence 1.3").press("Enter")
    playwright.expect(answer).to_contain_text("Silent: 1.3;")
    circuit.get_by_role("button", name="Let all speak").press("Enter")
    playwright.expect(answer).to_have_text(whole)


def test_hints_and_answer_unfold_by_keyboard_without_scripts(reader):
    page = reader(CHAPTER, java_script_enabled=False)
    exercise = page.locator("#exercise-induction_score")
    playwright.expect(exercise.get_by_text("def induction_score(").first).to_be_visible()
    folds = exercise.locator("details")
    answer = folds.last.locator(".highlight")
    playwright.expect(answer).not_to_be_visible()
    folds.first.locator("summary").focus()
    for number in range(folds.count()):
        assert folds.nth(number).get_attribute("open") is None
        page.keyboard.press("Enter")
        assert folds.nth(number).get_attribute("open") is not None
        if number + 1 < folds.count():
            tab_to(page, folds.nth(number + 1).locator("summary"))
    playwright.expect(answer).to_contain_text("def induction_score(")


def tab_to(page: Any, target: Any) -> None:
    for _ in range(5):
        page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError("Tab does not get there")


def test_without_scripts_feedback_can_be_unfolded_and_pictures_stand(reader):
    page = reader(CHAPTER, java_script_enabled=False)
    form = page.locator("form.question").first
    form.locator("summary").press("Enter")
    playwright.expect(form.get_by_text("✔ Right: W_V and W_O.")).to_be_visible()
    playwright.expect(form.get_by_role("button", name="Commit")).to_have_count(0)
    picture = page.locator("figure.picture img").first
    picture.scroll_into_view_if_needed()
    wait_for_image(picture)


def wait_for_image(picture: Any) -> None:
    playwright.expect(picture).to_be_visible()
    playwright.expect(picture).to_have_js_property("complete", True)
    assert picture.bounding_box()["width"] > 200


def test_a_prediction_is_answered_and_kept(reader):
    page = reader(CHAPTER)
    form = page.locator('form[data-name="04_induction_heads/second_copy"]')
    form.get_by_role("button", name="Commit").click()
    playwright.expect(form.get_by_role("status")).to_have_text("Choose one first.")
    form.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # commits, as in every form
    said = form.get_by_role("status")
    playwright.expect(said).to_contain_text("○ Recorded: high in the first copy")
    found = page.locator('.reveal[data-name="04_induction_heads/second_copy"] .feedback')
    playwright.expect(found).to_contain_text("✔ You said, and it is")
    page.reload()
    playwright.expect(form.get_by_role("radio").nth(2)).to_be_checked()
    playwright.expect(said).to_contain_text("○ Recorded")
    playwright.expect(found).to_contain_text("✔ You said, and it is")
    page.get_by_role("button", name="Forget my answers").click()
    playwright.expect(form.get_by_role("radio").nth(2)).not_to_be_checked()
    playwright.expect(said).to_be_empty()
    playwright.expect(found).to_be_empty()


def test_a_wrong_answer_is_told_why_and_a_sentence_is_kept(reader):
    page = reader(CHAPTER)
    quiz = page.locator('form[data-name="04_induction_heads/what_is_moved"]')
    quiz.get_by_role("radio", name="all four").check()
    quiz.get_by_role("button", name="Commit").click()
    playwright.expect(quiz.get_by_role("status")).to_contain_text("✘ Not “all four”. Once")
    sentence = page.locator('form[data-name="04_induction_heads/why_two_layers"]')
    sentence.get_by_role("textbox").fill("Keys know <b>nothing</b> else.")
    sentence.get_by_role("button", name="Keep").click()
    playwright.expect(sentence.get_by_role("status")).to_contain_text("Its key has to say")
    page.reload()
    playwright.expect(sentence.get_by_role("textbox")).to_have_value(
        "Keys know <b>nothing</b> else."
    )


def sleeping(page: Any) -> list[Any]:
    """The figures that can wake, by their place on the page, which stays theirs."""
    every = page.locator("figure.picture")
    can = every.evaluate_all("all => all.map(one => one.querySelector(':scope > script') !== null)")
    return [every.nth(n) for n, wakes in enumerate(can) if wakes]


def test_figures_wake_when_they_come_into_view_from_one_bundle(reader):
    page = reader(CHAPTER)
    fetched: list[str] = []
    page.on("request", lambda r: fetched.append(r.url) if "plotly" in r.url else None)
    assert page.locator(".alive").count() == 0
    for figure in sleeping(page)[:2]:
        figure.scroll_into_view_if_needed()
        playwright.expect(figure.locator("svg.main-svg").first).to_be_visible(timeout=20_000)
        playwright.expect(figure.locator(".still")).to_be_hidden()
    assert len(fetched) == 1


def test_on_a_phone_nothing_is_wider_than_the_screen_and_figures_wait(reader):
    for path in PAGES:
        page = reader(path, PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
    page = reader(CHAPTER, PHONE)
    figure = sleeping(page)[0]
    figure.scroll_into_view_if_needed()
    assert page.locator(".alive").count() == 0
    figure.get_by_role("button", name="Look closer").click()
    playwright.expect(figure.locator("svg.main-svg").first).to_be_visible(timeout=20_000)


def test_the_walk_goes_step_by_step(reader):
    page = reader("index.html", reduced_motion="reduce")
    walk = page.locator(".walk")
    playwright.expect(walk.get_by_role("button", name="Play")).to_have_count(0)
    for step in range(1, 6):
        playwright.expect(walk.locator("[aria-current=step]")).to_have_count(1)
        playwright.expect(walk.locator(".steps > li").nth(step - 1)).to_have_class("now")
        playwright.expect(walk.locator("[data-step].whole.later")).to_have_count(min(5 - step, 4))
        if step < 5:
            walk.get_by_role("button", name="Next").press("Enter")
    playwright.expect(walk.get_by_role("button", name="Next")).to_be_disabled()
    playwright.expect(walk.get_by_text("The model says t (")).to_be_visible()
    walk.get_by_role("checkbox").press("Space")
    playwright.expect(walk.get_by_text("The model says t (")).to_be_hidden()
    playwright.expect(walk.get_by_text("Before the cut")).to_be_visible()


def test_the_walk_plays_to_its_end(reader):
    page = reader("index.html", reduced_motion="no-preference")
    page.clock.install()
    page.reload()
    walk = page.locator(".walk")
    walk.get_by_role("button", name="Play").click()
    page.clock.run_for(4 * 2600 + 100)
    playwright.expect(walk.locator("[data-step].later")).to_have_count(0)
    playwright.expect(walk.get_by_role("button", name="Play")).to_be_visible()


def test_search_finds_what_an_exercise_is_called(reader):
    page = reader("search.html?q=induction_score")
    found = page.locator("#search-results li a", has_text="04 Induction heads")
    playwright.expect(found.first).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_grave_fault_of_accessibility(reader, theme):
    page = reader("index.html", color_scheme=theme, reduced_motion="reduce")
    root = page.url.removesuffix("index.html")
    for path in PAGES:
        page.goto(root + path)
        page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
        page.wait_for_timeout(100)
        found = axe.Axe().run(page).response["violations"]
        grave = {f["id"]: f["nodes"][0]["html"][:200] for f in found if f["impact"] in GRAVE}
        assert grave == {}, f"{path} in the {theme} theme"
        if place := os.environ.get("CIRCUITS_COURSE_PICTURES"):
            shoot(page, Path(place), path, theme)


def shoot(page: Any, place: Path, path: str, theme: str) -> None:
    """Pictures of a page, to be looked at after a change to it."""
    for size in (WIDE, PHONE):
        page.set_viewport_size(size)
        name = f"book_{Path(path).stem}_{theme}_{size['width']}.png"
        page.screenshot(path=place / name)
    page.set_viewport_size(WIDE)


@pytest.mark.skipif("CIRCUITS_COURSE_FILM" not in os.environ, reason="names no file for the film")
def test_film_of_a_chapter_in_use(reader):
    """The README's moving picture: a prediction, a hint, a figure, what came of it."""
    page = reader(CHAPTER, {"width": 960, "height": 600}, reduced_motion="reduce")
    film = Film(page)
    film.take(1.8)
    form = page.locator('form[data-name="04_induction_heads/second_copy"]')
    film.show(form, 1.2)
    form.get_by_role("radio").nth(2).check()
    film.take(0.8)
    form.get_by_role("button", name="Commit").click()
    film.take(1.6)
    exercise = page.locator("#exercise-loss_per_token")
    film.show(exercise, 1.2)
    exercise.locator("summary").first.click()
    film.take(1.8)
    figure = sleeping(page)[0]
    film.show(figure, 0.8)
    playwright.expect(figure.locator("svg.main-svg").first).to_be_visible(timeout=20_000)
    figure.locator(".nsewdrag").first.hover(position={"x": 330, "y": 60})
    film.take(1.8)
    film.show(page.locator('.reveal[data-name="04_induction_heads/second_copy"]'), 2.6)
    film.write(Path(os.environ["CIRCUITS_COURSE_FILM"]))


class Film:
    """Pictures of a page and for how long each is shown, as one animated file of few colours."""

    def __init__(self, page: Any) -> None:
        self.page, self.frames, self.seconds = page, [], []

    def show(self, part: Any, seconds: float) -> None:
        """Scrolls a part of the page to where one looks, and takes a picture."""
        part.evaluate("node => scrollTo(0, node.getBoundingClientRect().top + scrollY - 150)")
        self.page.wait_for_timeout(400)
        self.take(seconds)

    def take(self, seconds: float) -> None:
        self.page.wait_for_timeout(200)
        self.frames.append(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))
        self.seconds.append(seconds)

    def write(self, path: Path) -> None:
        small = [frame.resize((800, 500), Image.Resampling.LANCZOS) for frame in self.frames]
        all_in_one = Image.new("RGB", (800, 500 * len(small)))
        for number, frame in enumerate(small):
            all_in_one.paste(frame, (0, 500 * number))
        colours = all_in_one.quantize(COLOURS)
        few = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in small]
        shown = [int(1000 * seconds) for seconds in self.seconds]
        few[0].save(path, save_all=True, append_images=few[1:], duration=shown, loop=0)
