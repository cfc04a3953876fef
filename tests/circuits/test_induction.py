"""What heads write when they look back."""

import pytest
import torch

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.references import load_reference
from circuits_course.circuits import (
    direct_scores,
    final_scale,
    token_OV,
    value_weights,
)

answers = load_reference("04_induction_heads")


@pytest.fixture(scope="module")
def model():
    with torch.no_grad():
        yield random_model()


@pytest.fixture
def tokens():
    return random_tokens(3, 7, seed=4)


def test_direct_scores_are_the_means_of_direct_logits(model, tokens):
    _, cache = model.run_with_cache(tokens)
    direct = direct_scores(model, cache, tokens, slice(2, 6))
    for layer in range(3):
        for head in range(4):
            one = answers.direct_logits(
                cache["z", layer][:, :, head],
                model.W_O[layer, head],
                final_scale(cache),
                model.W_U,
                tokens.roll(-1, dims=1),
            )
            assert torch.allclose(direct[layer, head], one[:, 2:6].mean(1), atol=1e-4)


def test_direct_logits_and_the_rest_add_up_to_the_logits(model, tokens):
    logits, cache = model.run_with_cache(tokens)
    heads = [
        cache["z", layer][:, :, head] @ model.W_O[layer, head]
        for layer in range(3)
        for head in range(4)
    ]
    total = (cache["hook_embed"] + sum(heads)) / final_scale(cache) @ model.W_U
    assert torch.allclose(total, logits, atol=1e-3)


def test_token_OV_reads_what_it_is_given(model):
    words = torch.tensor([4, 9, 2])
    seen = answers.effective_embedding(model, words, 1)
    OV = token_OV(model, 1, 2, seen, words)
    expected = seen @ value_weights(model, 1, 2) @ model.W_O[1, 2] @ model.W_U[:, words]
    assert torch.allclose(OV.A @ OV.B, expected, atol=1e-4)
    assert token_OV(model, 1, 2).A.shape == (model.cfg.d_vocab, model.cfg.d_head)
