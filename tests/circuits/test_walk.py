"""Induction in five steps: every sentence is about the prompt at hand, and true of the model."""

from __future__ import annotations

import json

import pytest
import torch

from circuits_course.circuits import small_basis, walk_induction
from circuits_course.circuits.basis import HeadWeights
from circuits_course.errors import CourseError
from circuits_course.models.loading import load_model
from circuits_course.plots import Walk, plot_walk_step


@pytest.fixture(scope="module")
def model():
    return load_model("induction-2l")


@pytest.fixture(scope="module")
def steps(model):
    return walk_induction(model, "qxbmztq")


def test_five_steps_are_plain_data(steps):
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5]
    assert json.loads(json.dumps(steps)) == steps
    assert all(step["tokens"] == ["BOS", *"qxbmztq"] for step in steps)


def test_arrows_carry_the_models_own_attention(model, steps):
    _, cache = model.run_with_cache(model.to_tokens("qxbmztq"))
    (low,), (high,) = steps[1]["arrows"], steps[3]["arrows"]
    assert (low["head"], low["from"], low["to"]) == ("0.3", 1, 2)
    assert (high["head"], high["from"], high["to"]) == ("1.3", 2, 7)
    assert low["attention"] == pytest.approx(cache["pattern", 0][0, 3, 2, 1].item(), abs=1e-4)
    assert high["attention"] == pytest.approx(cache["pattern", 1][0, 3, 7, 2].item(), abs=1e-4)
    assert steps[2]["holds"] == [[2, "after q"]]


def test_the_end_is_what_the_model_says(model, steps):
    probabilities = model(model.to_tokens("qxbmztq"))[0, -1].softmax(-1)
    word, share = steps[4]["says"][0]
    assert word == model.to_str_tokens(probabilities.argmax()[None], prepend_bos=False)[0] == "x"
    assert share == pytest.approx(probabilities.max().item(), abs=1e-4)
    assert "The model says 'x'" in steps[4]["sentence"]


def test_cut_the_second_step_and_the_rest_falls(model, steps):
    cut = [step["cut"] for step in steps]
    assert cut[2]["holds"] == []
    assert cut[3]["arrows"][0]["attention"] < 0.01 < steps[3]["arrows"][0]["attention"]
    tokens = model.to_tokens("qxbmztq")

    def silence(z: torch.Tensor, hook: object) -> torch.Tensor:
        z[:, 2, [0, 3]] = 0.0
        return z

    logits = model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", silence)])
    assert cut[4]["says"][0][1] == pytest.approx(logits[0, -1].softmax(-1).max().item(), abs=1e-4)
    assert "Induction says 'x': it comes at place" in cut[4]["sentence"]


def test_a_model_without_the_wire_is_told_so():
    basis = small_basis()
    width = basis.d_model
    nothing = HeadWeights(*(torch.zeros(width, 8) for _ in range(3)), torch.zeros(8, width))
    steps = walk_induction(basis.model(nothing, nothing), "ab3ceab")
    assert "No head finds" in steps[3]["sentence"] or "0.1" in steps[3]["sentence"]
    assert steps[2]["holds"] == []


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("qxbm", "'m' does not occur"), ("qxx", "'x' follows itself"), ("qx" * 20, "room for 24")],
)
def test_prompts_without_a_walk_are_named(model, prompt, message):
    with pytest.raises(CourseError, match=message):
        walk_induction(model, prompt)


def test_each_step_is_drawn_over_the_ones_before(steps):
    pictures = [plot_walk_step(steps, number).png for number in range(1, 6)]
    assert len(set(pictures)) == 5
    assert plot_walk_step(steps, 5, cut=True).png != pictures[-1]
    figure = plot_walk_step(steps, 4)
    assert figure.title == "Step 4 of 5: A higher head looks"
    assert figure.alt == steps[3]["sentence"]
    assert "1.3" in figure.table


def test_the_explorer_walks_by_slider_and_cuts_by_menu(steps):
    pytest.importorskip("ipywidgets")
    walk = Walk(steps)
    slider, wire, picture = walk.widget().children
    assert "Step 5 of 5" in picture.value
    slider.value = 2
    assert "Step 2 of 5: Lower heads look. At " in picture.value
    wire.value = "cut"
    assert "silenced" in picture.value
    assert walk.figure().title.startswith("Step 5")


def test_an_explorer_without_steps_says_where_they_come_from():
    with pytest.raises(CourseError, match="walk_induction"):
        Walk([])
