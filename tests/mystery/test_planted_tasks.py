"""Planted circuits as tasks: what methods of discovery find of them, and what escapes each."""

from __future__ import annotations

import pytest
import torch

from circuits_course.circuits import (
    METHODS,
    acdc,
    between_heads,
    edge_attribution,
    edge_effects,
    edges_of,
    integrated_edge_attribution,
    metric_gap,
    precision_recall,
    run_with_edges,
    strongest_edges,
)
from circuits_course.errors import CourseError, UnknownName
from circuits_course.mystery import load_mystery, make_planted, planted_edges, planted_task
from circuits_course.mystery.making import KINDS, SHIPPED


def recall(scores, planted):
    among = {edge: scores[edge] for edge in between_heads(scores)}
    return precision_recall(strongest_edges(among, len(planted)), planted).recall


@pytest.mark.parametrize("name", SHIPPED)
def test_every_mystery_is_a_task_and_its_edges_are_of_its_graph(name):
    mystery = load_mystery(name)
    task = planted_task(mystery, 12)
    assert set(planted_edges(mystery)) <= set(edges_of(mystery.model))
    rows = torch.arange(12)
    says = mystery.model(task.clean)[rows, task.metric.position].argmax(-1)
    assert torch.equal(says, task.metric.right)
    assert not (task.metric.right == task.metric.wrong).any()
    assert metric_gap(mystery.model, *task) > 3
    again, other = planted_task(mystery, 12), planted_task(mystery, 12, seed=1)
    assert torch.equal(again.clean, task.clean)
    assert not torch.equal(other.clean, task.clean)


def test_a_kind_that_is_not_planted():
    with pytest.raises(UnknownName, match="either_will_do"):
        make_planted("either_will", 0)
    assert set(KINDS) > {"induction", "one_backup", "told_twice"}


def test_too_few_prompts_that_part():
    class Constant(torch.nn.Module):
        def forward(self, tokens):
            return torch.nn.functional.one_hot(torch.zeros_like(tokens), 9) * 9.0

    from circuits_course.circuits.discovery.tasks import contrast

    tokens = torch.ones(4, 5).long()
    with pytest.raises(CourseError, match="Only 0 of 4 prompts"):
        contrast(Constant(), tokens, tokens, 2)


def test_every_method_of_edges_finds_a_copying_chain():
    mystery = make_planted("two_back", 1)
    task, planted = planted_task(mystery, 12), planted_edges(mystery)
    found = {
        name: recall(method(mystery.model, *task), planted) for name, method in METHODS.items()
    }
    assert found.pop("nodes") < 1  # whole heads do not say through which input they are heard
    assert set(found.values()) == {1.0}


def test_acdc_finds_the_planted_induction_circuit_and_nothing_else():
    mystery = make_planted("induction", 1)
    task = planted_task(mystery, 12)
    left = acdc(mystery.model, *task, 0.05 * metric_gap(mystery.model, *task))
    assert sorted(between_heads(left)) == sorted(planted_edges(mystery))


def test_a_message_that_never_changes_is_seen_by_silence_alone():
    mystery = make_planted("told_twice", 1)
    (task, planted), model = (planted_task(mystery, 12), planted_edges(mystery)), mystery.model
    always_said = planted[:2]
    for method in (edge_effects, edge_attribution, integrated_edge_attribution):
        scores = method(model, *task)
        assert max(abs(scores[edge]) for edge in always_said) < 0.05
    silent = edge_effects(model, task.clean, None, task.metric)
    assert recall(silent, planted) == 1
    assert max(silent[edge] for edge in always_said) < -1


def test_of_two_either_of_which_will_do_neither_is_missed():
    mystery = make_planted("either_will_do", 1)
    (task, planted), model = (planted_task(mystery, 12), planted_edges(mystery)), mystery.model
    either = planted[:2]
    for method in (edge_effects, edge_attribution):
        scores = method(model, *task)
        assert max(abs(scores[edge]) for edge in either) < 0.05
    gap, clean = metric_gap(model, *task), task.metric(model(task.clean))
    neither = [edge for edge in edges_of(model) if edge not in either]
    lost = clean - task.metric(run_with_edges(model, task.clean, task.corrupted, neither))
    assert lost > 0.1 * gap
    assert recall(integrated_edge_attribution(model, *task), planted) == 1
    kept = acdc(model, *task, 0.05 * gap)
    assert sum(edge in kept for edge in either) == 1
