"""The head browser: every head on a prompt of one's own."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from circuits_course.circuits.heads import read_patterns
from circuits_course.errors import CourseError
from circuits_course.models.loading import load_model
from circuits_course.plots import plot_thumbnails
from circuits_course.plots.explorers.head_browser import HeadBrowser
from circuits_course.plots.figure import bundle_with_widget
from circuits_course.plots.thumbnails import mosaic


@pytest.fixture(scope="module")
def model():
    return load_model("induction-2l")


def test_patterns_are_the_models_own(model):
    browser = HeadBrowser(partial(read_patterns, model), "qxbqxb")
    _, cache = model.run_with_cache(model.to_tokens("qxbqxb"))
    expected = torch.stack([cache["pattern", layer][0] for layer in range(model.cfg.n_layers)])
    torch.testing.assert_close(torch.tensor(browser.patterns).float(), expected)
    assert len(browser.words) == browser.patterns.shape[-1]


def test_a_saved_notebook_keeps_the_thumbnails(model):
    browser = HeadBrowser(partial(read_patterns, model), "qxbqxb")
    assert bundle_with_widget(browser.figure(), browser.widget) == browser.figure().static_bundle()
    assert "2 layers of 4 heads" in repr(browser)


def test_the_mosaic_puts_every_head_in_its_place():
    patterns = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2).numpy()
    cells = mosaic(patterns)
    assert cells.shape == (5, 8)
    assert (cells[3:5, 6:8] == patterns[1, 2]).all()
    assert (cells[2] == cells[2, 0]).all()


def test_everything_moves_when_a_control_does(model):
    pytest.importorskip("ipywidgets")
    browser = HeadBrowser(partial(read_patterns, model), "qxbqxb", start=(1, 3))
    box = browser.widget()
    prompt, said, layer, grid, detail = box.children
    buttons = [cell.children[1] for cell in grid.children]
    assert [button.description for button in buttons] == ["1.0", "1.1", "1.2", "1.3 ◂"]
    first = detail.value
    buttons[0].click()
    assert buttons[0].description == "1.0 ◂"
    assert detail.value != first
    layer.value = 0
    assert buttons[0].description == "0.0 ◂"
    before = detail.value
    prompt.value = "mztmzt"
    assert browser.prompt == "mztmzt"
    assert detail.value != before
    prompt.value = " "
    assert "A prompt needs" in said.value
    layer.value = 1
    assert {cell.children[0].value for cell in grid.children} == {""} == {detail.value}
    prompt.value = "qxb"
    assert said.value == ""
    assert "Head 1.0" in detail.value


@pytest.mark.parametrize(
    ("prompt", "start", "words"),
    [
        ("", (0, 0), "A prompt needs"),
        ("q" * 64, (0, 0), "65 tokens are more"),
        ("qx", (2, 0), "no head 2.0"),
        ("qx", (0, 4), "no head 0.4"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(model, prompt, start, words):
    with pytest.raises(CourseError, match=words):
        HeadBrowser(partial(read_patterns, model), prompt, start=start)


def test_thumbnails_of_the_wrong_shape_are_refused():
    with pytest.raises(CourseError, match="layer, head, q, k"):
        plot_thumbnails(torch.zeros(1, 2, 3, 4), "x")
