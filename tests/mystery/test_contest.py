"""The contest: its meter counts, its referee is right, and its models differ."""

from __future__ import annotations

import pytest
import torch

from circuits_course.circuits import discovery
from circuits_course.errors import CourseError
from circuits_course.mystery import contest, make_mystery, planted_edges, planted_task, play
from circuits_course.mystery.contest import BUDGET, Meter, cost_of

SEED = 3014  # three layers, two planted edges


@pytest.fixture(scope="module")
def mystery():
    return make_mystery("case", SEED)


def test_the_meter_counts_products_forwards_and_backwards():
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(4, 5)
    with Meter() as forwards:
        product = a @ b
    with Meter() as backwards, torch.enable_grad():
        (a @ b).sum().backward()
    assert product.shape == (3, 5)
    assert forwards.total == 2 * 3 * 4 * 5
    assert backwards.total == 2 * forwards.total


def test_cost_is_in_runs_of_the_model(mystery):
    model, tokens = mystery.model, planted_task(mystery, 16).clean
    result, cost = cost_of(lambda: [model(tokens) for _ in range(3)], model, tokens)
    assert len(result) == 3
    assert cost == pytest.approx(3)
    assert cost_of(lambda: None, model, tokens)[1] == 0


def test_trying_every_edge_is_beyond_the_budget_and_a_gradient_within(mystery):
    tried = play(lambda model, task: discovery.edge_effects(model, *task), mystery)
    guessed = play(lambda model, task: discovery.edge_attribution(model, *task), mystery)
    assert tried.cost > BUDGET > guessed.cost > 1


def test_the_referee_counts_edges_between_heads(mystery):
    true = planted_edges(mystery)
    perfect = play(lambda model, task: [("embed", "logits"), *true], mystery)
    assert (perfect.precision, perfect.recall, perfect.f1) == (1, 1, 1)
    half = play(lambda model, task: true[:1], mystery)
    assert half.precision == 1
    assert half.f1 == pytest.approx(2 * half.recall / (1 + half.recall))
    assert play(lambda model, task: [], mystery).f1 == 0


def test_what_are_no_edges_is_said(mystery):
    with pytest.raises(CourseError, match="pairs"):
        play(lambda model, task: [3, 4], mystery)


def test_every_method_plays_the_same_models_and_all_have_three_layers():
    sizes = []

    def watch(model, task):
        sizes.append(model.cfg.n_layers)
        return []

    rounds = contest({"one": watch, "other": watch}, range(7000, 7003))
    assert {name: len(played) for name, played in rounds.items()} == {"one": 3, "other": 3}
    hiding = contest({"one": watch}, range(8000, 8002), hiding=True)
    assert len(hiding["one"]) == 2
    assert set(sizes) == {3}
