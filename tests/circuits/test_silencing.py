"""A model's activations without some of its heads."""

import pytest
import torch

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits import cache_without


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_only_the_chosen_heads_change(mode):
    model, tokens = random_model(), random_tokens(3, 8)
    whole, without = cache_without(model, tokens), cache_without(model, tokens, [(1, 2)], mode)
    assert torch.equal(whole["z", 0], without["z", 0])
    others = [0, 1, 3]
    assert torch.equal(whole["z", 1][:, :, others], without["z", 1][:, :, others])
    wanted = whole["z", 1][:, :, 2].mean((0, 1)) if mode == "mean" else torch.zeros(6)
    assert torch.allclose(without["z", 1][:, :, 2], wanted.expand(3, 8, -1))
    assert not torch.allclose(whole["resid_post", 1], without["resid_post", 1])


def test_the_model_is_left_as_it_was():
    model, tokens = random_model(), random_tokens(2, 5)
    before = model(tokens)
    cache_without(model, tokens, [(0, 0), (0, 3)])
    assert torch.equal(before, model(tokens))


def test_what_is_kept_can_be_chosen():
    model, tokens = random_model(), random_tokens(3, 8)
    kept = cache_without(
        model, tokens, [(1, 2)], "mean", lambda name: name.endswith("hook_pattern")
    )
    whole = cache_without(model, tokens, [(1, 2)], "mean")
    assert sorted(kept) == [f"blocks.{layer}.attn.hook_pattern" for layer in range(3)]
    assert all(torch.equal(kept[name], whole[name]) for name in kept)
