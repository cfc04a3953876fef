"""Patterns of all heads without the logits that nobody asks for."""

import pytest
import torch
from circuits.architectures import gpt2_shaped, pythia_shaped, random_words

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits import head_scores
from circuits_course.circuits.heads import last_logits_hooks


@pytest.mark.parametrize("make", [gpt2_shaped, pythia_shaped])
def test_only_the_last_position_reaches_the_unembedding(make):
    model, tokens = make(), random_words(2, 6)
    with torch.no_grad():
        last = model.run_with_hooks(tokens, fwd_hooks=last_logits_hooks(model))
        whole = model(tokens)
    assert last.shape[:2] == (2, 1)
    torch.testing.assert_close(last[:, 0], whole[:, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", [gpt2_shaped, random_model])
def test_head_scores_are_means_over_the_batch(make):
    model = make()
    tokens = random_tokens(3, 6) if make is random_model else random_words(3, 6)
    with torch.no_grad():
        cache = model.run_with_cache(tokens)[1]
    found = head_scores(model, tokens, lambda pattern: pattern[:, :, 4, 2])
    expected = [cache["pattern", layer][:, :, 4, 2].mean(0) for layer in range(3)]
    torch.testing.assert_close(found, torch.stack(expected))
