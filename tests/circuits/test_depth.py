"""Sequences that heads of different models are compared on, and the circuits known so far."""

from __future__ import annotations

import torch

from circuits_course import load_model
from circuits_course.checks.inputs import random_model
from circuits_course.circuits.heads import PUBLISHED_IOI
from circuits_course.circuits.ioi import known_circuits
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
