"""The tools of the IOI chapter, the measured table, and every tool on a model of GPT-2's shape."""

from __future__ import annotations

import pytest
import torch

from circuits_course.checks.references import load_reference
from circuits_course.circuits.heads import PUBLISHED_IOI, head_name
from circuits_course.circuits.ioi import (
    KnockOuts,
    answer_directions,
    attention_between,
    component_names,
    measured_circuit,
    name_tokens,
    other_heads,
    run_at_end,
    sizes,
)
from circuits_course.data.ioi import ioi_batch
from circuits_course.errors import CourseError
from circuits_course.models.loading import load_model

answers = load_reference("06_indirect_object_identification")


def gpt2_shaped():
    """Random weights, GPT-2's blocks and biases, and a tokenizer that knows names."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=24, n_layer=3, n_head=4, vocab_size=49152, n_positions=64)
    hf_model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in hf_model.parameters():  # biases too, so that they count
            noise = torch.randn(parameter.shape)
            parameter.copy_(0.3 * noise if parameter.ndim > 1 else parameter + 0.1 * noise)
    bridge = TransformerBridge.boot_transformers(
        "random", hf_model=hf_model, tokenizer=load_model("smollm2-135m").tokenizer, device="cpu"
    )
    bridge.enable_compatibility_mode()
    return bridge.eval()


@pytest.fixture(scope="module", params=["gpt2-shaped", "smollm2-135m"])
def model(request):
    with torch.no_grad():
        yield gpt2_shaped() if request.param == "gpt2-shaped" else load_model(request.param)


@pytest.fixture(scope="module")
def batch(model):
    return ioi_batch(model, 8, seed=0, templates=[0, 3])


@torch.no_grad()
def test_what_components_add_sums_to_the_logit_difference(model, batch):
    logits, cache = run_at_end(model, batch.tokens, batch.positions["END"])
    direction = answer_directions(model, batch.io, batch.s)
    layers = answers.attribute_layers(cache, direction)
    assert len(layers) == len(component_names(model))
    bias = model.b_U[batch.io] - model.b_U[batch.s]
    whole = answers.logit_difference(logits, batch.io, batch.s)
    torch.testing.assert_close(layers.sum(0) + bias, whole, atol=2e-3, rtol=1e-3)
    assert whole.mean().item() == pytest.approx(batch.metric(model(batch.tokens)).item(), abs=1e-3)


@torch.no_grad()
def test_heads_sum_to_their_layers_attention(model, batch):
    _, cache = run_at_end(model, batch.tokens, batch.positions["END"])
    direction = answer_directions(model, batch.io, batch.s)
    layers, heads = (
        f(cache, direction) for f in (answers.attribute_layers, answers.attribute_heads)
    )
    for layer in range(model.cfg.n_layers):
        b_O = getattr(model.blocks[layer].attn, "b_O", None)
        constant = 0.0 if b_O is None else (b_O / cache["scale"][:, -1] * direction).sum(-1)
        torch.testing.assert_close(
            heads[layer].sum(0) + constant, layers[1 + 2 * layer], atol=2e-3, rtol=1e-3
        )


@torch.no_grad()
def test_detectors_agree_with_the_tool_that_reads_several_pairs(model, batch):
    pairs = [("END", "IO"), ("S2", "S1")]
    looks = attention_between(model, batch.tokens, batch.positions, pairs)
    torch.testing.assert_close(answers.name_mover_scores(model, batch), looks["END", "IO"])
    torch.testing.assert_close(answers.duplicate_token_scores(model, batch), looks["S2", "S1"])
    assert looks["END", "IO"].shape == (model.cfg.n_layers, model.cfg.n_heads)


@torch.no_grad()
def test_copy_score_is_a_share_and_its_sign_counts(model, batch):
    names = name_tokens(model, batch.names[:12])
    head = (model.cfg.n_layers - 1, 1)
    for sign in (1, -1):
        assert 0 <= answers.copy_score(model, head, names, sign) <= 1


@torch.no_grad()
def test_knock_outs_equal_the_reference_answer(model, batch):
    F = KnockOuts(model, batch)
    heads = [(0, 1), (2, 3)]
    slow = answers.knock_out(model, batch, heads).mean().item()
    assert F(F.heads - set(heads)) == pytest.approx(slow, abs=2e-3)
    assert F(F.heads) == pytest.approx(batch.metric(model(batch.tokens)).item(), abs=2e-3)


@torch.no_grad()
def test_a_head_left_at_all_named_positions_only(model, batch):
    F = KnockOuts(model, batch)
    head = (1, 2)
    nowhere = F.only(F.heads, {head: ()})
    assert nowhere == pytest.approx(F(F.heads - {head}), abs=2e-3)
    at_end_only = F.only([], {})
    assert at_end_only == pytest.approx(F([]), abs=2e-3)


@torch.no_grad()
def test_s_inhibition_stops_at_its_receivers():
    model = gpt2_shaped()
    effect = answers.s_inhibition_effect(model, ioi_batch(model, 4, seed=1), [(2, 1)])
    assert effect[:2].abs().max() > 1e-4
    assert effect[2].abs().max() < 1e-4


def test_unknown_heads_are_said_in_one_line(model, batch):
    with pytest.raises(CourseError, match="no heads"):
        KnockOuts(model, batch)([(99, 0)])


def test_controls_come_from_the_same_layers():
    everything = [(layer, head) for layer in range(2) for head in range(3)]
    assert other_heads([(0, 0), (1, 1), (1, 2)], everything) == {(0, 1), (1, 0)}


def test_the_published_circuit_has_26_heads_in_seven_classes():
    heads = [head for members in PUBLISHED_IOI["gpt2-small"].values() for head in members]
    assert len(PUBLISHED_IOI["gpt2-small"]) == 7
    assert len(heads) == len(set(heads)) == 26


# --- the measured table ------------------------------------------------------------------------


def test_a_model_that_was_not_measured_says_so():
    with pytest.raises(CourseError, match="measures it"):
        measured_circuit(gpt2_shaped())


@pytest.fixture(scope="module")
def smollm2():
    return load_model("smollm2-135m")


@pytest.fixture(scope="module")
def table(smollm2):
    return measured_circuit(smollm2)


def test_the_table_says_what_it_rests_on(smollm2, table):
    assert table["sizes"] == sizes(smollm2)
    assert not set(table["evidence"]["seeds"]) & set(table["evidence"]["held-out seeds"])
    assert len(table["task"]["by seed"]) == len(table["evidence"]["seeds"])
    assert len(table["circuit"]) == len(table["evidence"]["held-out seeds"])
    listed = [head for members in table["classes"].values() for head in members]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(table["heads"])


@torch.no_grad()
def test_a_small_measurement_agrees_with_the_table(smollm2, table):
    batch = ioi_batch(smollm2, 32, seed=table["evidence"]["seeds"][0])
    logits, cache = run_at_end(smollm2, batch.tokens, batch.positions["END"])
    difference = answers.logit_difference(logits, batch.io, batch.s).mean().item()
    assert difference == pytest.approx(table["task"]["by seed"][0], abs=0.02)
    direction = answer_directions(smollm2, batch.io, batch.s)
    direct = answers.attribute_heads(cache, direction).mean(-1)
    for name, row in table["heads"].items():
        layer, head = map(int, name.split("."))
        assert direct[layer, head].item() == pytest.approx(row["direct, by seed"][0], abs=0.02)
    largest = head_name(divmod(int(direct.argmax()), smollm2.cfg.n_heads))
    assert largest == max(table["heads"], key=lambda name: table["heads"][name]["direct"])


@torch.no_grad()
def test_the_circuit_holds_on_other_prompts(smollm2, table):
    """A seed that took no part in finding or scoring the circuit."""
    F = KnockOuts(smollm2, ioi_batch(smollm2, 16, seed=11))
    circuit = {tuple(map(int, name.split("."))) for name in table["heads"]}
    assert len(circuit) < len(F.heads) / 8
    assert F(circuit) > F(F.heads) / 2
    assert F(other_heads(circuit, F.heads)) < F(F.heads) / 4
    assert F(F.heads - circuit) < F(F.heads) / 4
