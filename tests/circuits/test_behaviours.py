"""Sequences that heads of different models are compared on, and the circuits known so far."""

from __future__ import annotations

import pytest
import torch

from circuits_course import load_model
from circuits_course.checks.inputs import random_model
from circuits_course.checks.references import load_reference
from circuits_course.circuits.behaviours import behaviour_scores
from circuits_course.circuits.heads import PUBLISHED_IOI
from circuits_course.circuits.ioi import known_circuits
from circuits_course.circuits.silencing import input_cut, mean_ablated
from circuits_course.data.sequences import repeats_for, text_tokens


def test_repeats_fit_into_the_models_context():
    small = random_model(n_ctx=16)  # [BOS, 7, 7]
    tokens = repeats_for(small, batch=3)
    assert tokens.shape == (3, 15)
    assert (tokens[:, 0] == 0).all()
    assert torch.equal(tokens[:, 1:8], tokens[:, 8:])
    assert tokens[:, 1:].min() > 0
    assert tokens.max() < small.cfg.d_vocab
    assert repeats_for(load_model("induction-2l")).shape == (4, 41)
    assert not torch.equal(repeats_for(small, seed=0), repeats_for(small, seed=1))


def test_a_text_is_cut_into_stretches_that_follow_each_other():
    model = load_model("induction-2l")
    text = "qxbmztqxbmzt"
    tokens = text_tokens(model, text, batch=3, length=5)
    assert tokens.shape == (3, 5)
    assert (tokens[:, 0] == 0).all()
    assert tokens[:, 1:].flatten().tolist() == model.to_tokens(text, prepend_bos=False)[0].tolist()


def test_known_circuits_are_the_published_and_the_measured_ones():
    known = known_circuits()
    layers, classes = known["gpt2-small"]
    assert layers == 12
    assert classes["name mover"] == list(PUBLISHED_IOI["gpt2-small"]["name mover"])
    layers, classes = known["smollm2-135m"]
    assert layers == 30
    assert (20, 0) in classes["S-inhibition"]


def test_behaviours_are_measured_as_the_chapter_does():
    model = random_model(n_layers=3, n_heads=4)
    tokens = repeats_for(model, batch=3)
    expected = load_reference("09_open_questions").head_profile(model, tokens)
    for behaviour, scores in behaviour_scores(model, tokens).items():
        torch.testing.assert_close(scores, expected[behaviour], atol=1e-5, rtol=1e-4)


def test_a_mean_ablated_head_says_one_thing_and_the_model_comes_back():
    model = random_model(n_layers=2, n_heads=4)
    tokens = repeats_for(model, batch=3)
    whole = model(tokens)
    with mean_ablated(model, [(0, 1), (0, 3), (1, 2)]) as without:
        assert without is model
        _, cache = model.run_with_cache(tokens)
    for layer, head in ((0, 1), (0, 3), (1, 2)):
        z = cache["z", layer][:, :, head]
        torch.testing.assert_close(z, z[:1, :1].expand_as(z))
    assert cache["z", 0][:, :, 0].std(0).max() > 1e-3
    torch.testing.assert_close(model(tokens), whole)


@pytest.mark.parametrize("letter", ["q", "k"])
def test_an_input_is_cut_for_layer_1_alone(letter):
    model = random_model(n_layers=2, n_heads=4)
    tokens = repeats_for(model, batch=3)
    _, before = model.run_with_cache(tokens)
    with input_cut(model, tokens, 2, letter):
        _, after = model.run_with_cache(tokens)
    other = {"q": "k", "k": "q"}[letter]
    torch.testing.assert_close(after[other, 1], before[other, 1], atol=1e-5, rtol=1e-4)
    assert (after[letter, 1] - before[letter, 1]).abs().max() > 1e-3
    torch.testing.assert_close(after["resid_post", 0], before["resid_post", 0])
    torch.testing.assert_close(model(tokens), model(tokens))
    assert not model.cfg.use_split_qkv_input
