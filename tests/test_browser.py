"""A learner's first minutes with chapter 04, in a real browser.

JupyterLab runs on a free port of this machine; a headless Chromium opens the notebook, runs it,
and types a wrong and then a right answer. No request may leave the machine: pictures and widgets
must not need a content delivery network.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from circuits_course import build

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHAPTER = "04_induction_heads"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
TOKEN = "a-token-for-this-test"
RUN_MS = 600_000
ANSWER_MS = 60_000

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

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None,
        reason=f"no browser found ({', '.join(BROWSERS)}): install Debian's chromium package",
    ),
    pytest.mark.skipif(
        not build.notebook_path(CHAPTER, "notebooks").is_file(),
        reason=f"chapter {CHAPTER} is not built yet",
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scratch folder with a copy of the chapter's notebook."""
    place = tmp_path / "notebooks"
    place.mkdir()
    shutil.copy(build.notebook_path(CHAPTER, "notebooks"), place)
    return place


@pytest.fixture
def lab(folder: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a JupyterLab that serves the folder and has settings of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "jupyter.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *server_options(folder, port)],
            env=os.environ | own_settings(tmp_path),
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
        self.page = page
        self.strangers: list[str] = []
        page.context.on("request", self._note)
        page.goto(f"{address}/lab/tree/{CHAPTER}.ipynb?token={TOKEN}")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        page.get_by_text(re.compile(r"\| Idle$")).wait_for(timeout=60_000)

    def _note(self, request: playwright.Request) -> None:
        place = urlsplit(request.url)
        if place.scheme in ("http", "https", "ws", "wss") and place.hostname != "127.0.0.1":
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
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=CHROMIUM, args=[*quiet, *as_root, "--disable-gpu", "--no-first-run"]
        )
        try:
            yield Lab(browser.new_page(viewport={"width": 1280, "height": 900}), lab)
        finally:
            browser.close()


def test_wrong_and_right_answer_and_pictures_in_a_browser(page: Lab) -> None:
    page.run_all()
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
    look_at_another_head(page.cell("HeadBrowser(real"))
    assert page.strangers == []


def look_at_another_head(cell: playwright.Locator) -> None:
    """The head browser, by keyboard."""
    chosen = cell.get_by_role("button", name="◂")
    chosen.scroll_into_view_if_needed()
    others = cell.get_by_role("button", name=re.compile(r"^\d+\.\d+$"))
    name = others.first.inner_text().strip()
    others.first.focus()
    others.first.press("Enter")
    playwright.expect(chosen).to_contain_text(name, timeout=ANSWER_MS)
    attention = cell.locator(f"img[alt^='Head {name}. Attention']")
    playwright.expect(attention).to_be_visible(timeout=ANSWER_MS)


def assert_plot_is_drawn(plot: playwright.Locator) -> None:
    plot.wait_for(timeout=ANSWER_MS)
    box = plot.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 100
    assert plot.locator("path, image, rect").count() > 5
