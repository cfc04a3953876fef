"""What senders say and where the slope is, by name: against the cache and small steps."""

from __future__ import annotations

import pytest
import torch
from circuits.architectures import gpt2_shaped, random_words, rotary_with_grouped_keys

from circuits_course.checks.inputs import random_model
from circuits_course.circuits.discovery import edge_attribution, edges_of, said_by, slopes_at
from circuits_course.data.logit_difference import LogitDifference

METRIC = LogitDifference(torch.tensor([3, 5]), torch.tensor([4, 9]))


@pytest.mark.parametrize("make", [random_model, rotary_with_grouped_keys, gpt2_shaped])
def test_what_senders_say_adds_up_to_the_stream(make):
    model, tokens = make(), random_words(2, 6, seed=1)
    said = said_by(model, tokens)
    last = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    stream = model.run_with_cache(tokens)[1][last]
    biases = [getattr(block.attn, "b_O", None) for block in model.blocks]
    total = sum(said.values()) + sum(b for b in biases if b is not None)
    torch.testing.assert_close(total, stream, atol=1e-3, rtol=1e-3)
    assert set(said) == {edge.sender for edge in edges_of(model)}


@pytest.mark.parametrize("make", [random_model, rotary_with_grouped_keys])
def test_step_times_slope_is_the_engines_attribution(make):
    model, a, b = make(), random_words(2, 5, seed=1), random_words(2, 5, seed=2)
    slopes, old, new = slopes_at(model, a, METRIC), said_by(model, a), said_by(model, b)
    found = {e: ((new[e.sender] - old[e.sender]) * slopes[e.receiver]).sum().item()
             for e in edges_of(model)}  # fmt: skip
    assert found == pytest.approx(edge_attribution(model, a, b, METRIC), abs=1e-3, rel=1e-3)
    assert list(slopes) == list(dict.fromkeys(edge.receiver for edge in edges_of(model)))


def test_slopes_on_other_embeddings():
    model, a, b = random_model(2, 3), random_words(2, 5, seed=1), random_words(2, 5, seed=2)
    there = slopes_at(model, a, METRIC, said_by(model, b)["embed"])
    other = slopes_at(model, b, METRIC)
    for receiver in other:
        torch.testing.assert_close(there[receiver], other[receiver], atol=1e-4, rtol=1e-4)
