"""Steering, against the whole model under a hook."""

from __future__ import annotations

import pytest
import torch
from circuits.architectures import gpt2_shaped, random_words, rotary_with_grouped_keys

from circuits_course.checks.inputs import random_model
from circuits_course.circuits.steering import random_directions, steered


@pytest.mark.parametrize("make", [random_model, rotary_with_grouped_keys, gpt2_shaped])
def test_steering_is_a_hook_that_adds(make):
    model, tokens = make(), random_words(3, 7, seed=1)
    vectors = random_directions(torch.ones(model.cfg.d_model), 4)
    found = steered(model, tokens, 1, vectors)
    for vector, logits in zip(vectors, found, strict=True):
        hook = ("blocks.1.hook_resid_pre", lambda resid, hook, vector=vector: resid + vector)
        expected = model.run_with_hooks(tokens, fwd_hooks=[hook])[:, -1]
        torch.testing.assert_close(
            logits.log_softmax(-1), expected.log_softmax(-1), atol=1e-3, rtol=1e-3
        )


def test_random_directions_have_one_length():
    like = torch.tensor([3.0, 4.0, 0.0])
    drawn = random_directions(like, 50)
    torch.testing.assert_close(drawn.norm(dim=1), torch.full((50,), 5.0))
    assert len(drawn.unique(dim=0)) == 50
