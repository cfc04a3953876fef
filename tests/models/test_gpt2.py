"""What the literature says of GPT-2 small, held against its weights where they are on this disk.

Wang et al. 2022 (arXiv 2211.00593) used templates of their own; ours give another mean, so bands
are wide where numbers depend on prompts.
"""

from __future__ import annotations

import pytest
import torch

from circuits_course.checks.references import load_reference
from circuits_course.circuits.heads import PUBLISHED_IOI, head_scores, strongest_heads
from circuits_course.circuits.ioi import attention_between
from circuits_course.data.ioi import ioi_batch
from circuits_course.data.markov import repeated_random_tokens
from circuits_course.data.sequences import bos_token
from circuits_course.models.catalogue import real_on_disk
from circuits_course.models.loading import load_model

pytestmark = [
    pytest.mark.gpt2,
    pytest.mark.skipif(
        not real_on_disk("gpt2-small"),
        reason="the weights of GPT-2 small are not on this disk: hf download openai-community/gpt2",
    ),
]
answers = load_reference("06_indirect_object_identification")
HEADS = PUBLISHED_IOI["gpt2-small"]

# After those of Wang et al., appendix E, in this course's fields.
TEMPLATES = (
    "Then, {A} and {B} went to the {place}{middle} {S} gave a {object} to",
    "When {A} and {B} got a {object} at the {place}{middle} {S} decided to give it to",
    "After {A} and {B} went to the {place}{middle} {S} gave a {object} to",
    "Then, {A} and {B} were working at the {place}{middle} {S} decided to give a {object} to",
)


@pytest.fixture(scope="module")
def model():
    with torch.no_grad():
        yield load_model("gpt2-small")


@pytest.fixture(scope="module")
def batch(model):
    return ioi_batch(model, 64, seed=0, templates=TEMPLATES)


@torch.no_grad()
def test_the_logit_difference_is_near_the_published_3_56(model, batch):
    logits = model(batch.tokens)
    assert batch.metric(logits).item() == pytest.approx(3.56, abs=1.0)
    rows, end = torch.arange(len(batch)), batch.positions["END"]
    difference = answers.logit_difference(logits[rows, end][:, None], batch.io, batch.s)
    assert (difference > 0).float().mean() > 0.95


@torch.no_grad()
def test_name_movers_look_at_the_io_and_copy(model, batch):
    looks = answers.name_mover_scores(model, batch)
    for head in HEADS["name mover"]:
        assert looks[head] > 0.3
        assert answers.copy_score(model, batch, head) > 0.9
    for head in HEADS["negative name mover"]:
        assert looks[head] > 0.3
        assert answers.copy_score(model, batch, head, sign=-1) > 0.9


@torch.no_grad()
def test_earlier_classes_look_where_they_should(model, batch):
    pairs = [("S2", "S1+1"), ("S1+1", "S1"), ("END", "S2")]
    looks = attention_between(model, batch.tokens, batch.positions, pairs)
    assert (4, 11) in strongest_heads(looks["S1+1", "S1"], 3)
    assert {(5, 5), (6, 9)} <= set(strongest_heads(looks["S2", "S1+1"], 8))
    sees = answers.repetition_scores(model, batch, "S2", "S1")
    assert {(0, 1), (3, 0)} <= set(strongest_heads(sees, 8))
    assert sum(looks["END", "S2"][head] for head in HEADS["S-inhibition"]) / 4 > 0.25


@torch.no_grad()
def test_s_inhibition_acts_through_the_movers_queries(model):
    small = ioi_batch(model, 16, seed=1, templates=TEMPLATES)
    effect = answers.s_inhibition_effect(model, small, HEADS["name mover"])
    assert set(strongest_heads(-effect, 4)) & set(HEADS["S-inhibition"])
    assert len(set(strongest_heads(-effect, 6)) & set(HEADS["S-inhibition"])) >= 3


@torch.no_grad()
def test_4_11_is_the_previous_token_head(model):
    generator = torch.Generator().manual_seed(0)
    tokens = repeated_random_tokens(4, 50, model.cfg.d_vocab, generator)
    tokens[:, 0] = bos_token(model)
    scores = head_scores(model, tokens, lambda pattern: pattern.diagonal(-1, -2, -1).mean(-1))
    assert strongest_heads(scores, 1) == [(4, 11)]
    assert scores[4, 11] > 0.9
