"""Losses without sets of heads against whole runs with hooks, on every kind of model."""

import pytest
import torch
from circuits.architectures import (
    gpt2_shaped,
    pythia_shaped,
    random_words,
    rotary_with_grouped_keys,
)

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.references import load_reference
from circuits_course.circuits import added_losses, losses_without, losses_without_each
from circuits_course.circuits.patching.stages import CourseStages
from circuits_course.errors import CourseError

KINDS = (random_model, gpt2_shaped, pythia_shaped, rotary_with_grouped_keys)
SETS = [
    [],
    [(0, 1), (2, 3)],
    [(0, 1), (1, 0), (1, 2)],
    [(1, 0), (0, 1), (1, 2), (1, 0)],  # the same once more, in another order
    [(2, 0)],
]


@pytest.fixture(autouse=True, scope="module")
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(params=KINDS, ids=lambda make: make.__name__, scope="module")
def case(request):
    model = request.param()
    course = request.param is random_model
    return model, (random_tokens if course else random_words)(3, 7, seed=4)


def by_hooks(model, tokens, heads, mode):
    def edit(z, hook):
        for head in {head for layer, head in heads if layer == hook.layer()}:
            z[:, :, head] = z[:, :, head].mean((0, 1)) if mode == "mean" else 0.0
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", edit) for layer in {layer for layer, _ in heads}]
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), tokens[:, 1:], reduction="none"
    )


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_every_set_gives_what_a_whole_run_with_hooks_gives(case, mode):
    model, tokens = case
    found = losses_without_each(model, tokens, SETS, mode)
    for losses, heads in zip(found, SETS, strict=True):
        torch.testing.assert_close(
            losses, by_hooks(model, tokens, heads, mode), atol=1e-4, rtol=1e-4
        )
    assert (found[1] - found[0]).abs().max() > 0.01


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_places_that_are_asked_for_are_as_in_the_whole_batch(case, mode):
    model, tokens = case
    where = torch.zeros(3, 6, dtype=torch.bool)
    where[0, 4], where[2, 1:3] = True, True
    some = losses_without_each(model, tokens, SETS, mode, where)
    whole = losses_without_each(model, tokens, SETS, mode)
    torch.testing.assert_close(some[:, where], whole[:, where], atol=1e-4, rtol=1e-4)
    assert some[:, ~where].isnan().all()


def test_added_losses_are_differences():
    model, tokens = random_model(), random_tokens(3, 7, seed=4)
    added = added_losses(model, tokens, SETS)
    whole = losses_without(model, tokens)
    for row, heads in zip(added, SETS, strict=True):
        torch.testing.assert_close(row, losses_without(model, tokens, heads) - whole)
    assert added[0].abs().max() == 0


def test_a_knock_out_is_chapter_03s():
    model, tokens = random_model(), random_tokens(3, 7, seed=4)
    expected = load_reference("03_previous_token_heads").knock_out_losses(model, tokens, [(1, 0)])
    torch.testing.assert_close(
        losses_without(model, tokens, [(1, 0)]), expected, atol=1e-5, rtol=1e-5
    )


def test_what_sets_share_is_run_once_and_what_nobody_sees_not_at_all(monkeypatch):
    model, tokens = random_model(), random_tokens(3, 7, seed=4)
    losses_without(model, tokens)  # the stages are held against the model once
    one_layer, seen = CourseStages.one_layer, []

    def watched(self, layer, resid, edit):
        seen.append((layer, *resid.shape[:2]))
        return one_layer(self, layer, resid, edit)

    monkeypatch.setattr(CourseStages, "one_layer", watched)
    where = torch.zeros(3, 6, dtype=torch.bool)
    where[1, 3] = True
    losses_without_each(model, tokens, [[(1, 0)], [(1, 0)], [(1, 3)]], "mean", where)
    whole, part = (3, 7), (1, 4)
    assert sorted(seen) == [(0, *whole), (1, *whole), (1, *whole), (2, *part), (2, *part)]
    seen.clear()
    losses_without_each(model, tokens, [[(1, 0)], [(2, 1)]], "zero", where)
    assert sorted(seen) == [(0, *part), (1, *part), (1, *part), (2, *part), (2, *part)]


def test_what_cannot_be_answered_is_refused():
    model, tokens = random_model(), random_tokens(3, 7)
    with pytest.raises(CourseError, match=r"There is no head 3\.0: the model has 3 layers"):
        added_losses(model, tokens, [[(0, 0)], [(3, 0)]])
    with pytest.raises(CourseError, match="No loss is asked for"):
        added_losses(model, tokens, [[(0, 0)]], where=torch.zeros(3, 6, dtype=torch.bool))
