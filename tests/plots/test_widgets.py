"""Widgets leave a still picture where no kernel runs, and take its place where one does."""

from __future__ import annotations

import json
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from circuits_course.errors import CourseError
from circuits_course.page.saved_form import WIDGET, with_widget, without_widget
from circuits_course.plots import figure as figures
from circuits_course.plots import plot_attention, plot_heads
from circuits_course.plots.explorers import live_training
from circuits_course.plots.explorers.explorer import Explorer
from circuits_course.plots.explorers.live_training import LiveTraining
from circuits_course.plots.explorers.patching import PatchingExplorer
from circuits_course.plots.explorers.scrubber import CheckpointScrubber
from circuits_course.plots.figure import PLOTLY, bundle_with_widget


@pytest.fixture
def live(monkeypatch):
    """As in a kernel with a widget front end."""
    pytest.importorskip("anywidget")
    monkeypatch.setattr(figures, "in_notebook", lambda: True)
    monkeypatch.delenv("VSCODE_PID", raising=False)


def scores(step: int, frame: np.ndarray):
    return plot_heads(frame, f"Scores at step {step}")


FRAMES = {step: np.full((1, 2), step / 100) for step in (0, 50, 100)}


def test_without_a_kernel_the_figure_stands_alone_and_no_widget_is_made():
    figure = plot_heads([[0.5]], "Scores")

    def never():
        raise AssertionError("a widget was made that nobody can see")

    assert bundle_with_widget(figure, never) == figure.static_bundle()


def test_without_widget_packages_the_figure_stands_alone(live, monkeypatch):
    monkeypatch.setattr(figures, "widgets_installed", lambda: False)
    figure = plot_heads([[0.5]], "Scores")
    assert bundle_with_widget(figure, None) == figure.static_bundle()


def test_without_circuitsvis_the_figure_stands_alone(live, monkeypatch):
    from circuits_course.page import widget_views as module

    module.library.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    figure = plot_attention(["a"], [[[1.0]]], "Attention")
    assert set(figure._repr_mimebundle_()) == {"text/plain", "image/png"}


def test_live_output_names_the_widget_and_holds_none_of_it(live):
    tokens = ["</script>", "<img onerror=x>"]
    figure = plot_attention(tokens, [[[1, 0], [0.5, 0.5]]], "Attention")
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png", "text/html"}
    page = bundle["text/html"]
    assert page.count("</script>") == 1
    assert page.endswith("</script>")
    assert "onerror" not in page
    assert len(page) < 1500 + len(bundle["image/png"])
    words = re.sub(r"base64,[^\"]*", "", page) + bundle["text/plain"]
    assert not any(word in words.lower() for word in ("http", "unpkg", "google", "cdn", ' src="/'))


def test_live_output_is_preferred_over_plotly(live):
    import ipywidgets

    bundle = bundle_with_widget(plot_heads([[0.5]], "Scores"), ipywidgets.HTML())
    assert PLOTLY not in bundle  # JupyterLab would show it and never the widget


def test_circuitsvis_is_sent_once_for_all_figures(live):
    from circuits_course.page.widget_views import AttentionView, library

    library.cache_clear()
    one, two = (AttentionView(tokens=["a"], pattern=[[[1]]], head_names=["0"]) for _ in range(2))
    assert one.library == two.library == f"IPY_MODEL_{library().model_id}"
    assert 100_000 < len(library().script) < 600_000
    assert len(json.dumps(one.get_state(), default=str)) < 6000


@pytest.mark.parametrize("place", ["colab", "vscode"])
def test_front_ends_without_a_shared_page_get_the_widget_itself(live, monkeypatch, place):
    import ipywidgets

    if place == "colab":
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    else:
        monkeypatch.setenv("VSCODE_PID", "1")
    widget = ipywidgets.HTML()
    bundle = bundle_with_widget(plot_heads([[0.5]], "Scores"), widget)
    assert bundle[WIDGET]["model_id"] == widget.model_id
    assert "image/png" in bundle


def test_a_notebook_that_is_built_keeps_the_still_form_of_a_question_alone(live):
    import ipywidgets

    question = '<div role="status"><p>Which?</p></div>'
    page = with_widget({"text/plain": "Which?"}, question, ipywidgets.HTML())["text/html"]
    assert page != question
    assert without_widget(page) == question
    assert without_widget(question) == question


def test_saved_scrubber_shows_the_chosen_checkpoint():
    assert CheckpointScrubber(FRAMES, scores)._repr_mimebundle_() == (
        scores(100, FRAMES[100]).static_bundle()
    )
    assert "Scores at step 50" in repr(CheckpointScrubber(FRAMES, scores, start=50))


def test_moving_the_slider_changes_the_picture_and_draws_each_checkpoint_once():
    pytest.importorskip("ipywidgets")
    drawn = []

    def draw(step, frame):
        drawn.append(step)
        return scores(step, frame)

    scrubber = CheckpointScrubber(FRAMES, draw)
    slider, picture = scrubber.widget().children
    assert "Scores at step 100" in picture.value
    for step in (0, 50, 0, 100):
        slider.value = step
        assert f'alt="Scores at step {step}.' in picture.value
        assert f"<p>Scores at step {step}." in picture.value  # its words as well
    assert drawn == [100, 0, 50]


def test_explorer_makes_menus_of_names_and_sliders_of_numbers():
    ipywidgets = pytest.importorskip("ipywidgets")

    def draw(kind, layer):
        return plot_heads([[layer]], f"{kind} in layer {layer}")

    explorer = Explorer(draw, {"kind": ["z", "pattern"], "layer": [0, 1, 2]}, start={"layer": 2})
    menu, slider, picture = explorer.widget().children
    assert isinstance(menu, ipywidgets.Dropdown)
    assert isinstance(slider, ipywidgets.SelectionSlider)
    menu.value, slider.value = "pattern", 1
    assert "pattern in layer 1" in picture.value
    assert explorer.figure().title == "z in layer 2"


def test_a_failing_draw_is_shown_not_swallowed():
    pytest.importorskip("ipywidgets")

    def draw(layer):
        if layer:
            raise ValueError("no <such> layer")
        return plot_heads([[1]], "Fine")

    slider, picture = Explorer(draw, {"layer": [0, 1]}).widget().children
    slider.value = 1
    assert picture.value == '<pre role="alert">ValueError: no &lt;such&gt; layer</pre>'


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CheckpointScrubber({}, scores), "frames is empty"),
        (lambda: CheckpointScrubber(FRAMES, scores, start=7), "step=7"),
        (lambda: Explorer(scores, {"step": []}), "none for"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(CourseError, match=message):
        make()


@pytest.fixture
def gate():
    """An AND gate, its two answers' logit difference, and two ways to corrupt "11="."""
    import torch

    from circuits_course.circuits.gates import gate_model
    from circuits_course.circuits.patching import GapSweep
    from circuits_course.data.logit_difference import LogitDifference

    model = gate_model("and")
    corrupted = {"both bits": model.to_tokens("00="), "first bit": model.to_tokens("01=")}
    metric = LogitDifference(torch.tensor([2]), torch.tensor([1]))
    return GapSweep(model, model.to_tokens("11="), corrupted, metric), list(corrupted)


WORDS = ["BOS", "1", "1", "="]


def test_patching_explorer_runs_each_sweep_once_and_says_that_it_runs(gate):
    pytest.importorskip("ipywidgets")
    explorer = PatchingExplorer(*gate, words=WORDS, start={"component": "z"})
    assert explorer.figure().title == "Denoising z, corruption both bits"
    corruption, component, direction, picture = explorer.widget().children
    seen = []
    picture.observe(lambda change: seen.append(change.new), names="value")
    direction.value = "noising"
    corruption.value = "first bit"
    direction.value = "denoising"
    direction.value = "noising"
    assert ['role="status"' in text for text in seen] == [True, False] * 3 + [False]
    assert "Denoising z, corruption both bits" in seen[0]  # the old picture, dimmed
    assert "Noising z, corruption first bit" in picture.value
    component.value = "resid_pre"
    assert "Noising resid_pre" in picture.value


@pytest.mark.parametrize(
    ("direction", "corruption", "expected"),
    [
        ("denoising", "both bits", [0, 0]),
        ("noising", "both bits", [-1, -1]),
        ("denoising", "first bit", [1, 0]),
    ],
)
def test_patching_explorer_shows_shares_of_the_gap(gate, direction, corruption, expected):
    explorer = PatchingExplorer(*gate, words=WORDS)
    figure = explorer.figure(component="z", direction=direction, corruption=corruption)
    assert figure.numbers["share of the gap"][0] == pytest.approx(expected, abs=1e-3)


def test_patching_explorer_names_positions_and_stands_still_without_a_kernel(gate):
    explorer = PatchingExplorer(*gate, words=WORDS, start={"component": "resid_pre"})
    assert explorer._repr_mimebundle_() == explorer.figure().static_bundle()
    assert explorer.figure().numbers["share of the gap"].shape == (1, 4)


def test_patching_explorer_says_what_does_not_fit(gate):
    explorer = PatchingExplorer(*gate, words=["a", "b"], start={"component": "resid_pre"})
    with pytest.raises(CourseError, match="2 words for 4 positions"):
        explorer.figure()


def test_training_outside_jupyter_is_a_line_of_text(capsys):
    with LiveTraining("Loss", total=3, y_title="nats") as live:
        for step in range(1, 4):
            live.update(step, loss=1 / step)
    assert capsys.readouterr().err == "✔ Done: 3 of 3 steps.\n"
    (figure,) = live.figures
    assert figure.numbers["loss"] == pytest.approx([1, 1 / 2, 1 / 3])
    assert figure.numbers["training step"].tolist() == [1, 2, 3]


def test_interrupted_training_keeps_what_it_saw(capsys):
    live = LiveTraining("Loss", total=9)

    def interrupted():
        with live:
            live.update(1, loss=2.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "○ Stopped: 1 of 9 steps." in capsys.readouterr().err
    assert live.history == {"step": [1], "loss": [2.0]}


def test_values_measured_now_and_then_have_gaps():
    with LiveTraining("Loss", total=2, panels={"nats": ["loss"], "score": ["induction"]}) as live:
        live.update(1, loss=2.0)
        live.update(2, loss=1.0, induction=0.5)
        live.update(3, loss=0.5)
    assert live.history["induction"] == pytest.approx([np.nan, 0.5, np.nan], nan_ok=True)
    assert [figure.title for figure in live.figures] == ["Loss: nats", "Loss: score"]


class Display:
    """What IPython gives for a display that can be updated."""

    def __init__(self) -> None:
        self.seen: list[dict] = []

    def update(self, bundle, raw, metadata=None):
        assert raw
        self.seen.append(bundle)


def test_live_figure_grows_cheaply_and_ends_as_a_still_one(monkeypatch):
    pytest.importorskip("IPython")
    import IPython.display

    made: list[Display] = []

    def display(*args, **kwargs):
        made.append(Display())
        return made[-1]

    monkeypatch.setattr(live_training, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(live_training, "SHORTEST_WAIT", 0.02)
    with LiveTraining("Loss", total=2000, y_title="nats") as live:
        live._wait = 0.0
        for step in range(1, 2001):
            live.update(step, loss=1 / step)
            if step % 200 == 0:
                time.sleep(0.02)
    bar, picture, words = made
    assert "<details" in words.seen[-1]["text/html"]
    assert re.search(r"█+░* \d+ of 2000 steps · loss", bar.seen[-2]["text/plain"])
    assert bar.seen[-1] == {"text/plain": "✔ Done: 2000 of 2000 steps."}
    assert all(set(bundle) == {"text/html", "text/plain"} for bundle in picture.seen[:-1])
    assert len(picture.seen) > 2
    assert {"image/png", PLOTLY, "text/plain"} == set(picture.seen[-1])
    assert len(picture.seen[-1][PLOTLY]["data"][0]["x"]) == live_training.MAX_POINTS


def test_patching_explorer_shows_every_fourth_layer_first(monkeypatch):
    import IPython.display

    from circuits_course.plots.explorers import patching

    asked = []

    def sweep(corruption, component, direction, every=1):
        asked.append(every)
        change = np.full((8, 4), 0.5)
        change[[layer for layer in range(8) if (7 - layer) % every]] = np.nan
        return change

    shown = []

    class Place:
        def update(self, data, metadata, raw):
            shown.append(data["text/plain"])

    def display(data, raw, metadata=None, display_id=None):
        shown.append(data["text/plain"])
        return Place()

    monkeypatch.setattr(patching, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    PatchingExplorer(sweep, ["s2"], words=list("abcd"))._ipython_display_()
    assert asked == [4, 1]
    assert "every 4th layer" in shown[0]
    assert "every 4th layer" not in shown[1]
    assert shown[2:] == [""]
