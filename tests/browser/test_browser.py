"""A learner's first minutes with chapter 04, and every explorer by keyboard, in a real browser.

JupyterLab runs on a free port of this machine; a headless Chromium opens a notebook and runs it. In
chapter 04 it types a wrong and then a right answer; in a notebook of explorers and questions it
uses nothing but keys, and looks at what is left of them once the kernel is gone. No request may
leave the machine: pictures and widgets must not need a content delivery network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from chromium import chromium, is_stranger, needs_chromium

from circuits_course.authoring import build

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHAPTER = "04_induction_heads"
EXPLORERS = "explorers"
TOKEN = "a-token-for-this-test"
RUN_MS = 600_000
ANSWER_MS = 60_000
# Knock-outs of SmolLM2: a minute for one table like the others, which `make notebooks` makes.
SLOW = "added_losses(real"

SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}

WRONG = '''def induction_score(pattern, period):
    """Looks at the earlier copy of the same token."""
    return pattern.diagonal(-period, -2, -1)[..., 1:].mean(-1)

induction_score = chapter.check(induction_score)'''

RIGHT = '''def induction_score(pattern, period):
    """Looks at the token after the earlier copy."""
    queries = range(1 + period, pattern.shape[-1])
    return sum(pattern[..., q, q - period + 1] for q in queries) / period

induction_score = chapter.check(induction_score)'''

CELLS = {
    "set-up": """\
import os
os.environ["CIRCUITS_COURSE_HOME"] = os.path.abspath("nothing-done-yet")
import numpy as np
import torch
from circuits_course import Chapter
from circuits_course.circuits import GapSweep, gate_model
from circuits_course.data import LogitDifference
from circuits_course.plots import CheckpointScrubber, Explorer, PatchingExplorer
from circuits_course.plots import plot_attention, plot_matrix
chapter = Chapter("04")
model = gate_model("and")
""",
    "scrubber": """\
frames = {step: np.random.default_rng(step).dirichlet(np.ones(6), (2, 6)) for step in (0, 50, 400)}
def draw(step, frame):
    return plot_attention(list("abcabc"), frame, f"Step {step}", head_names=["0.1", "1.2"])
CheckpointScrubber(frames, draw)
""",
    "menu": """\
def draw(kind, layer):
    return plot_matrix(np.eye(4) * layer, f"{kind} in layer {layer}",
                       x="key", y="query", unit="share")
Explorer(draw, {"kind": ["z", "pattern", "mlp"], "layer": [0, 1, 2]})
""",
    "patching": """\
corrupted = {"both bits": model.to_tokens("00="), "first bit": model.to_tokens("01=")}
metric = LogitDifference(torch.tensor([2]), torch.tensor([1]))
PatchingExplorer(
    GapSweep(model, model.to_tokens("11="), corrupted, metric),
    list(corrupted),
    words=["BOS", "1", "1", "="],
)
""",
    "circuit": """\
from circuits_course import load_model
from circuits_course.circuits import CircuitAtWork
from circuits_course.plots import CircuitExplorer
small = load_model("induction-2l")
others = torch.randint(1, 60, (8, 8), generator=torch.Generator().manual_seed(0))
others[:, 0] = small.to_tokens("q")[0, 0]
heads = {(layer, head): "" for layer in range(2) for head in range(4)}
work = CircuitAtWork(small, "qxbmztq", heads, right="x", reference=others)
CircuitExplorer(work, "What follows the second q?")
""",
    "question": 'chapter.quiz("what_is_moved")',
    "prediction": 'chapter.predict("which_layer")',
    "attempt": """\
def induction_score(pattern, period):
    return pattern.diagonal(-period, -2, -1)[..., 1:].mean(-1)
chapter.check(induction_score)
chapter.check(chapter.reference("loss_per_token"))
chapter.hint("induction_score")
""",
    "progress": "chapter.progress()",
}

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(
        not build.notebook_path(CHAPTER, "notebooks").is_file(),
        reason=f"chapter {CHAPTER} is not built yet",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch folder with the chapter's notebook, less one cell, and one of every explorer."""
    place = tmp_path_factory.mktemp("browser") / "notebooks"
    place.mkdir()
    chapter = nbformat.read(build.notebook_path(CHAPTER, "notebooks"), as_version=4)
    chapter.cells = [cell for cell in chapter.cells if SLOW not in cell.source]
    nbformat.write(chapter, place / f"{CHAPTER}.ipynb")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, place / f"{EXPLORERS}.ipynb")
    return place


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[str]:
    """Address of a JupyterLab that serves the folder and has settings of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder.parent / "jupyter.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *server_options(folder, port)],
            env=os.environ | own_settings(folder.parent),
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def server_options(folder: Path, port: int) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def own_settings(place: Path) -> dict[str, str]:
    """Jupyter's folders in the scratch place: every cell in the page, in view or not; no news."""
    for name, text in SETTINGS.items():
        path = place / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(place / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(place / "workspaces"),
        "IPYTHONDIR": str(place / "ipython"),
        "CIRCUITS_COURSE_HOME": str(place / "home"),
    }


def wait_until_up(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5)
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not come up:\n{log.read_text()[-3000:]}")


class Lab:
    """The page, as a learner handles it."""

    def __init__(self, page: playwright.Page, address: str) -> None:
        self.page, self.address = page, address
        self.strangers: list[str] = []
        page.context.on("request", self._note)

    def open(self, name: str) -> Lab:
        """Opens a notebook of the folder, alone, and waits for its kernel."""
        self.page.goto(f"{self.address}/lab/tree/{name}.ipynb?token={TOKEN}&reset")
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        self.page.get_by_text(re.compile(r"\| Idle$")).wait_for(timeout=60_000)
        return self

    def _note(self, request: playwright.Request) -> None:
        if is_stranger(request.url):
            self.strangers.append(request.url)

    def run_all(self) -> None:
        """Menu Run, Run All Cells; returns when the last cell is through."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        playwright.expect(prompts.first).not_to_have_text("[ ]:", timeout=ANSWER_MS)
        waiting = prompts.filter(has_text="[*]")
        playwright.expect(waiting).to_have_count(0, timeout=RUN_MS)
        said = self.page.locator("[data-mime-type$=stderr]").all_inner_texts()
        assert re.match(r"\[\d+\]", prompts.last.inner_text()), f"a cell failed: {said}"

    def press(self, *keys: str) -> None:
        """Presses keys one after another, wherever the focus is."""
        for key in keys:
            self.page.keyboard.press(key)

    def cell(self, text: str) -> playwright.Locator:
        """The code cell whose source contains the text."""
        editor = self.page.locator(".jp-InputArea-editor", has_text=text)
        return self.page.locator(".jp-CodeCell", has=editor)

    def picture(self, cell: playwright.Locator) -> None:
        """The README's picture, where CIRCUITS_COURSE_PICTURE says which file to write."""
        if path := os.environ.get("CIRCUITS_COURSE_PICTURE"):
            self.page.keyboard.press("ControlOrMeta+b")  # hides the file browser
            cell.evaluate("node => node.scrollIntoView({block: 'start'})")
            self.page.wait_for_timeout(1000)
            self.page.screenshot(path=path)

    def dark(self) -> None:
        """Menu Settings, Theme, JupyterLab Dark."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        items = self.page.locator(".lm-Menu-itemLabel")
        items.get_by_text("Theme", exact=True).hover()
        items.get_by_text("JupyterLab Dark", exact=True).click()
        playwright.expect(self.page.locator("body")).to_have_attribute(
            "data-jp-theme-light", "false"
        )
        self.page.wait_for_timeout(1000)  # colours fade over

    def faults(self) -> list[str]:
        """What axe-core finds serious or critical in the outputs of all cells."""
        found = axe.Axe().run(self.page, context={"include": [".jp-OutputArea"]})
        return [
            f"{fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes'][:3]]}"
            for fault in found.response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]

    def answer(self, cell: playwright.Locator, source: str, says: str) -> str:
        """Replaces a cell's source, runs it with Shift+Enter and waits for the message."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")
        output = cell.locator(".jp-OutputArea-output")
        playwright.expect(output.first).to_contain_text(says, timeout=ANSWER_MS)
        return output.first.inner_text()


@pytest.fixture
def page(lab: str) -> Iterator[Lab]:
    with chromium() as browser:
        yield Lab(browser.new_page(viewport={"width": 1280, "height": 900}), lab)


def test_wrong_and_right_answer_and_pictures_in_a_browser(page: Lab) -> None:
    page.open(CHAPTER).run_all()
    cell = page.cell("def induction_score(")
    cell.scroll_into_view_if_needed()
    assert "Not attempted yet" in cell.locator(".jp-OutputArea-output").first.inner_text()
    said = page.answer(cell, WRONG, says="✘ Wrong")
    assert "duplicate-token" in said
    page.picture(cell)
    page.answer(cell, RIGHT, says="✔ Passed")

    plotly = page.page.locator("img.plot-img, .js-plotly-plot")
    plots = page.page.locator(".jp-OutputArea-output").filter(has=plotly)
    plots.first.hover()  # plotly wakes under the mouse
    assert_plot_is_drawn(plots.first.locator("svg.main-svg").first)
    heads = page.page.locator("[id^=attention-]").first
    heads.scroll_into_view_if_needed()
    title = re.compile("head", re.IGNORECASE)
    playwright.expect(heads).to_contain_text(title, timeout=ANSWER_MS)
    look_at_another_head(page.cell("HeadBrowser(lambda"))
    enlarge_another_head(page.page.locator(".circuits-attention").first)
    assert page.faults() == []
    page.dark()
    assert page.faults() == []
    assert page.page.locator(".jp-OutputArea img:not([alt])").count() == 0
    assert page.strangers == []


def look_at_another_head(cell: playwright.Locator) -> None:
    """The head browser, by keyboard."""
    chosen = cell.get_by_role("button", name="◂")
    chosen.scroll_into_view_if_needed()
    others = cell.get_by_role("button", name=re.compile(r"^\d+\.\d+$"))
    name = others.first.inner_text().strip()
    others.first.focus()
    others.first.press("Enter")
    marked = cell.get_by_role("button", name=f"{name} ◂")
    playwright.expect(marked).to_be_visible(timeout=ANSWER_MS)
    playwright.expect(chosen).to_have_count(1, timeout=ANSWER_MS)
    attention = cell.locator(f"img[alt^='Head {name}. Attention']")
    playwright.expect(attention).to_be_visible(timeout=ANSWER_MS)


def enlarge_another_head(attention: playwright.Locator) -> None:
    """Attention on tokens, by keyboard."""
    heads = attention.get_by_role("button")
    heads.nth(1).focus()
    heads.nth(1).press("Enter")
    playwright.expect(heads.nth(1)).to_have_attribute("aria-pressed", "true")
    playwright.expect(heads.nth(0)).to_have_attribute("aria-pressed", "false")
    name = heads.nth(1).inner_text().strip()
    playwright.expect(attention.locator("h2")).to_have_text(name)


def test_explorers_by_keyboard_and_in_a_saved_notebook(page: Lab, folder: Path) -> None:
    page.open(EXPLORERS).run_all()
    scrub_with_the_arrow_keys(page)
    choose_from_a_menu(page)
    patch_by_button(page)
    silence_heads(page)
    answer_a_question(page)
    predict_and_say_how_sure(page)
    assert_progress_is_shown(page)
    assert page.faults() == []
    page.dark()
    assert page.faults() == []
    show_pictures(page)
    page.press("Escape", "ControlOrMeta+s")
    saved = folder / f"{EXPLORERS}.ipynb"
    wait_until(lambda: "Step 400" in saved.read_text())
    for answer in ("✘ Not “all four”", "Recorded: layer 1 (fairly sure)"):
        assert answer in saved.read_text()  # answers are kept with the notebook
    assert "widget-view" not in saved.read_text()

    page.open(EXPLORERS)  # the page again, the kernel still there
    playwright.expect(page.cell("CheckpointScrubber(").get_by_role("slider")).to_be_visible()
    end_kernels(page.address)
    shutil.copy(saved, folder / "signed.ipynb")
    saved.with_name("strange.ipynb").write_text(saved.read_text().replace("np.eye(4)", "np.eye(5)"))
    for name in ("signed", "strange"):  # JupyterLab runs no script of a notebook it does not know
        assert_still_forms_stand_alone(page.open(name))
    assert page.strangers == []


def scrub_with_the_arrow_keys(page: Lab) -> None:
    cell = page.cell("CheckpointScrubber(frames")
    cell.get_by_role("slider").focus()
    for key, step in (("ArrowLeft", 50), ("Home", 0), ("ArrowRight", 50), ("End", 400)):
        page.press(key)
        assert_shows(cell, f"Step {step}.")
    page.press("ArrowLeft")
    assert_shows(cell, "Step 50.")
    playwright.expect(cell.get_by_role("group").first).to_have_attribute("aria-label", "Step 50")
    slider = cell.get_by_role("slider", name="training step")
    playwright.expect(slider).to_have_attribute("aria-valuetext", "50")
    words = cell.locator(".circuits-words:visible")
    words.locator("summary").focus()
    page.press("Enter")
    playwright.expect(words.locator("p")).to_contain_text("Step 50.")
    slider.focus()
    page.press("ArrowLeft")
    playwright.expect(words.locator("p")).to_contain_text("Step 0.")
    playwright.expect(words.locator("p")).to_be_visible()
    page.press("ArrowRight")
    assert_shows(cell, "Step 50.")


def choose_from_a_menu(page: Lab) -> None:
    cell = page.cell("Explorer(draw")
    cell.locator("select").focus()
    page.press("ArrowDown")
    assert_shows(cell, "pattern in layer 0.")
    page.press("m")
    assert_shows(cell, "mlp in layer 0.")
    page.press("Tab", "ArrowRight")
    assert_shows(cell, "mlp in layer 1.")


def patch_by_button(page: Lab) -> None:
    """From the first button on, with Tab, Shift+Tab, Enter and Space alone."""
    cell = page.cell("PatchingExplorer(\n")
    cell.get_by_role("button").first.focus()
    page.press("Tab", "Enter")
    assert_shows(cell, "Denoising resid_pre, corruption first bit.")
    page.press("Tab", "Tab", "Space")
    assert_shows(cell, "Denoising z, corruption first bit.")
    page.press(*["Tab"] * 6, "Enter")
    assert_shows(cell, "Noising z, corruption first bit.")
    page.press("Shift+Tab", "Enter")
    assert_shows(cell, "Denoising z, corruption first bit.")
    pressed = cell.get_by_role("button", pressed=True)
    playwright.expect(pressed).to_have_text(["first bit", "z", "denoising"])


def silence_heads(page: Lab) -> None:
    """From head to head with the arrow keys; one silent, then two, which only the kernel knows."""
    cell = page.cell("CircuitExplorer(work")
    chosen, answer = cell.get_by_role("radio", checked=True), cell.get_by_role("status")
    playwright.expect(answer).to_contain_text("'x' 0.8")
    playwright.expect(chosen).to_have_attribute("aria-label", "1.3")
    chosen.focus()
    for key, head in (("ArrowDown", "0.3"), ("ArrowLeft", "0.2"), ("Home", "0.0"), ("End", "1.3")):
        page.press(key)
        playwright.expect(chosen).to_have_attribute("aria-label", head)
        playwright.expect(chosen).to_be_focused()
    page.press("ArrowDown", *["Tab"] * 2)  # past "Let all speak"
    playwright.expect(cell.get_by_role("button", name="Silence 0.3")).to_be_focused()
    page.press("Enter")
    playwright.expect(answer).to_contain_text("Silent: 0.3;")
    playwright.expect(answer).not_to_contain_text("'x' 0.8")
    playwright.expect(chosen).to_have_attribute("aria-label", "0.3, silenced")
    chosen.focus()
    page.press("ArrowUp", *["Tab"] * 2, "Space")
    playwright.expect(answer).to_contain_text("Silent: 0.3, 1.3;", timeout=ANSWER_MS)
    playwright.expect(cell.get_by_role("button", name="Silence 1.3")).to_be_focused()
    playwright.expect(cell).to_contain_text("it is silent")
    cell.get_by_role("button", name="Let all speak").click()
    playwright.expect(answer).to_contain_text("'x' 0.8")


def answer_a_question(page: Lab) -> None:
    cell = page.cell("chapter.quiz(")
    question = cell.get_by_role("radiogroup", name=re.compile("matrices decide"))
    choices = question.get_by_role("radio")
    choices.first.focus()
    for key, chosen in (("Space", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", 2)):
        page.press(key)
        playwright.expect(choices.nth(chosen)).to_be_checked()
    page.page.wait_for_timeout(1000)  # the kernel hears of the last choice when it has a moment
    page.press("Tab")
    playwright.expect(cell.get_by_role("button", name="Commit")).to_be_focused()
    page.press("Enter")
    playwright.expect(cell).to_contain_text("✘ Not “all four”", timeout=ANSWER_MS)


def predict_and_say_how_sure(page: Lab) -> None:
    cell = page.cell("chapter.predict(")
    choices = cell.get_by_role("radio")
    choices.first.focus()
    page.press("Space", "ArrowDown")
    playwright.expect(choices.nth(1)).to_be_checked()
    page.page.wait_for_timeout(1000)
    page.press("Tab", "Enter")
    level = cell.get_by_role("button", name="fairly sure")
    playwright.expect(level).to_be_visible(timeout=ANSWER_MS)
    level.focus()
    page.press("Enter")
    playwright.expect(level).to_have_attribute("aria-pressed", "true")
    page.page.wait_for_timeout(1000)
    cell.get_by_role("button", name="Commit").focus()
    page.press("Enter")
    playwright.expect(cell).to_contain_text("Recorded: layer 1 (fairly sure)", timeout=ANSWER_MS)


def assert_progress_is_shown(page: Lab) -> None:
    rows = page.cell("chapter.progress()").get_by_role("row")
    playwright.expect(rows.filter(has_text="induction_score")).to_have_text(
        re.compile(r"✘ not yet\s*0\s*1\s*1")
    )
    playwright.expect(rows.filter(has_text="loss_per_token")).to_have_text(
        re.compile(r"✔ passed\s*\d+\s*1\s*0")
    )


def show_pictures(page: Lab) -> None:
    """Every explorer as a picture, where CIRCUITS_COURSE_PICTURES names a folder."""
    if place := os.environ.get("CIRCUITS_COURSE_PICTURES"):
        page.press("Escape", "ControlOrMeta+b")
        for number, name in enumerate(CELLS):
            cell = page.page.locator(".jp-CodeCell").nth(number)
            cell.screenshot(path=Path(place) / f"{name}.png")


def assert_shows(cell: playwright.Locator, title: str) -> None:
    """The live picture of a cell is the one with this title."""
    picture = cell.locator(f"img[alt^='{title}']:visible")
    playwright.expect(picture).to_have_count(1, timeout=ANSWER_MS)


def assert_still_forms_stand_alone(page: Lab) -> None:
    """What a notebook shows without its kernel: pictures and text, no control, no error."""
    outputs = page.page.locator(".jp-OutputArea-output")
    still = ("Step 400.", "z in layer 0.", "Denoising resid_pre, corruption both bits.")
    still += ("What follows the second q?.",)
    for title in still:
        playwright.expect(page.page.locator(f"img[alt^='{title}']")).to_be_visible()
    for text in ("W_V and W_O", "✘ not yet"):
        playwright.expect(outputs.filter(has_text=text)).to_be_visible()
    playwright.expect(page.page.locator(".jp-OutputArea .jupyter-widgets")).to_have_count(0)
    playwright.expect(page.page.get_by_text("model not found")).to_have_count(0)


def end_kernels(address: str) -> None:
    """Ends every session of the server."""
    for session in json.loads(ask(f"{address}/api/sessions")):
        ask(f"{address}/api/sessions/{session['id']}", "DELETE")


def ask(url: str, method: str = "GET") -> bytes:
    request = urllib.request.Request(f"{url}?token={TOKEN}", method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWER_MS / 1000
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def assert_plot_is_drawn(plot: playwright.Locator) -> None:
    plot.wait_for(timeout=ANSWER_MS)
    box = plot.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 100
    assert plot.locator("path, image, rect").count() > 5
