"""The tools of the IOI chapter, the measured table, and every tool on a model of GPT-2's shape."""

from __future__ import annotations

import pytest
import torch
from circuits.architectures import smollm2_tokenizer

from circuits_course.checks.references import load_reference
from circuits_course.circuits.heads import PUBLISHED_IOI, head_name
from circuits_course.circuits.ioi import (
    KnockOuts,
    answer_directions,
    attention_between,
    component_names,
    measured_circuit,
    other_circuits,
    run_at_end,
    sizes,
)
from circuits_course.circuits.ioi_roles import ROLES, looks_by_name, roles_of, scores_by_head
from circuits_course.circuits.ioi_signals import (
    SIGNALS,
    copies_by_name,
    direct_effects_without,
    fit_signals,
    heard_instead,
    pattern_and_values,
    signal_table,
)
from circuits_course.data.ioi import ioi_batch
from circuits_course.errors import CourseError

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
        "random", hf_model=hf_model, tokenizer=smollm2_tokenizer(), device="cpu"
    )
    bridge.enable_compatibility_mode()
    return bridge.eval()


@pytest.fixture(scope="module", params=["gpt2-shaped", "smollm2-135m"])
def model(request):
    random = request.param == "gpt2-shaped"
    with torch.no_grad():
        yield gpt2_shaped() if random else request.getfixturevalue("smollm2")


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
    control = attention_between(model, batch.corrupt("ABC"), batch.positions, pairs)
    torch.testing.assert_close(
        answers.repetition_scores(model, batch, "S2", "S1"), looks["S2", "S1"] - control["S2", "S1"]
    )
    each = attention_between(model, batch.tokens, batch.positions, pairs, each=True)
    torch.testing.assert_close(each["END", "IO"].mean(-1), looks["END", "IO"])
    named = looks_by_name(model, batch)
    torch.testing.assert_close(named["S2 to S1"], looks["S2", "S1"])
    torch.testing.assert_close(named["S2 to S1, ABC"], control["S2", "S1"])
    assert looks["END", "IO"].shape == (model.cfg.n_layers, model.cfg.n_heads)


@torch.no_grad()
def test_copy_scores_equal_the_tools_for_many_heads(model, batch):
    heads = [(model.cfg.n_layers - 1, h) for h in range(model.cfg.n_heads)] + [(1, 2)]
    found = copies_by_name(model, batch, heads)
    for what, where, sign in (("copies IO", "IO", 1), ("against S2", "S2", -1)):
        for head in heads:
            own = answers.copy_score(model, batch, head, where, sign)
            assert found[what][head].mean().item() == pytest.approx(own)
            assert found[what][head].shape == batch.io.shape


@torch.no_grad()
def test_direct_effects_without_heads_hold_the_final_scale(model, batch):
    F = KnockOuts(model, batch)
    _, cache = run_at_end(model, batch.tokens, batch.positions["END"])
    direction = answer_directions(model, batch.io, batch.s)
    whole = answers.attribute_heads(cache, direction).mean(-1)
    torch.testing.assert_close(direct_effects_without(model, F, []), whole, atol=2e-3, rtol=1e-3)
    head = (1, 1)
    change = direct_effects_without(model, F, [head]) - whole
    assert change[0].abs().max() < 2e-3, "lower layers do not hear it, so the scale is held"
    assert change[1, 0].abs() < 2e-3
    assert change[head].abs() > 1e-5 or whole[head].abs() < 1e-4


@torch.no_grad()
def test_pattern_and_values_split_a_direct_effect(model, batch):
    head = (model.cfg.n_layers - 1, 0)
    halves = pattern_and_values(model, batch, head, batch.corrupt("ABC"))
    _, cache = run_at_end(model, batch.tokens, batch.positions["END"])
    whole = answers.attribute_heads(cache, answer_directions(model, batch.io, batch.s))[head]
    torch.testing.assert_close(halves["whole"], whole, atol=2e-3, rtol=1e-3)
    same = pattern_and_values(model, batch, head, batch.tokens)
    for values in same.values():
        torch.testing.assert_close(values, whole, atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_what_heads_say_of_their_own_prompts_changes_nothing(model, batch):
    heads = [(1, 1), (2, 0)]
    clean = batch.metric.each()(model(batch.tokens))
    heard = heard_instead(model, batch, heads, batch.tokens)
    torch.testing.assert_close(heard, clean, atol=2e-3, rtol=1e-3)
    assert set(signal_table(model, batch, heads)) == {"clean", *SIGNALS}


def test_signals_are_told_apart():
    table = {how: torch.full((4,), 3.0 + 2 * p - 0.5 * t) for how, (p, t) in SIGNALS.items()}
    table["clean"] = torch.full((4,), 4.5)
    assert fit_signals(table) == pytest.approx((2.0, -0.5, 3.0), abs=1e-4)


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
    torch.testing.assert_close(nowhere, F.each(F.heads - {head}), atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(F.only([], {}), F.each([]), atol=2e-3, rtol=1e-3)
    assert F([]) == pytest.approx(F.each([]).mean().item(), abs=1e-5)


@torch.no_grad()
def test_s_inhibition_stops_at_its_receivers():
    model = gpt2_shaped()
    effect = answers.s_inhibition_effect(model, ioi_batch(model, 4, seed=1), [(2, 1)])
    assert effect[:2].abs().max() > 1e-4
    assert effect[2].abs().max() < 1e-4


def test_unknown_heads_are_said_in_one_line(model, batch):
    with pytest.raises(CourseError, match="no heads"):
        KnockOuts(model, batch)([(99, 0)])


def test_other_circuits_come_from_the_same_layers():
    everything = [(layer, head) for layer in range(3) for head in range(5)]
    circuit = [(0, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    sets = other_circuits(circuit, everything, fewest=12)
    assert len(set(sets)) == 12
    for heads in sets:
        assert not heads & set(circuit)
        assert sorted(layer for layer, _ in heads) == [0, 1, 1, 2, 2]
    with pytest.raises(CourseError, match="Only 12"):
        other_circuits(circuit, everything)


def test_the_published_circuit_has_26_heads_in_seven_classes():
    heads = [head for members in PUBLISHED_IOI["gpt2-small"].values() for head in members]
    assert len(PUBLISHED_IOI["gpt2-small"]) == 7
    assert len(heads) == len(set(heads)) == 26


# --- the measured table ------------------------------------------------------------------------


def test_a_model_that_was_not_measured_says_so():
    with pytest.raises(CourseError, match="measures it"):
        measured_circuit(gpt2_shaped())


@pytest.fixture(scope="module")
def table(smollm2):
    return measured_circuit(smollm2)


def test_the_table_says_what_it_rests_on(smollm2, table):
    assert table["sizes"] == sizes(smollm2)
    found, held = table["evidence"]["found"], table["evidence"]["held out"]
    assert not set(found["seeds"]) & set(held["seeds"])
    assert not set(found["templates"]) & set(held["templates"])
    listed = [head for members in table["classes"].values() for head in members]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(table["heads"])
    assert set(table["classes"]) == set(ROLES)
    assert measured_circuit("smollm2-135m") == table


def test_the_rule_gives_the_table_its_roles(table):
    """The same `roles_of` as in the notebook, on the scores that the table lists."""
    scores = {}
    for name, row in table["heads"].items():
        means = {what: values[0] for what, values in row["found"].items()}
        highs = {f"{what}, high": values[2] for what, values in row["found"].items()}
        scores[tuple(map(int, name.split(".")))] = {**means, **highs}
    roles = {role: sorted(map(head_name, heads)) for role, heads in roles_of(scores).items()}
    assert roles == {role: sorted(heads) for role, heads in table["classes"].items()}


def test_page_and_citation_come_with_the_table(table):
    from circuits_course.authoring.measure_ioi.paper import DOCS, paper

    assert (DOCS / "smollm2_ioi.md").read_text(encoding="utf-8") == paper(table)
    assert "smollm2_ioi.md" in (DOCS.parent / "CITATION.cff").read_text(encoding="utf-8")


@torch.no_grad()
def test_a_small_measurement_agrees_with_the_table(smollm2, table):
    """Direct effects on the held-out prompts, measured again."""
    held = table["evidence"]["held out"]
    effects = []
    for seed in held["seeds"]:
        batch = ioi_batch(smollm2, 16, seed=seed, templates=held["templates"])
        _, cache = run_at_end(smollm2, batch.tokens, batch.positions["END"])
        direction = answer_directions(smollm2, batch.io, batch.s)
        effects.append(answers.attribute_heads(cache, direction).mean(-1))
    direct = torch.stack(effects).mean(0)
    for name, row in table["heads"].items():
        layer, head = map(int, name.split("."))
        assert direct[layer, head].item() == pytest.approx(row["held out"]["direct"][0], abs=0.02)


def test_a_role_asks_for_the_control():
    looks = {"S2 to S1+1": 0.6, "knocked out": -0.5, "knocked out, high": -0.2}
    assert roles_of({(1, 8): {**looks, "S2 to S1+1, ABC": 0.6}})["induction"] == []
    assert roles_of({(1, 8): {**looks, "S2 to S1+1, ABC": 0.0}})["induction"] == [(1, 8)]
    unsure = {**looks, "knocked out, high": 0.1}
    assert roles_of({(1, 8): unsure})["induction"] == []


def test_scores_come_from_tables_and_mappings():
    table = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    scores = scores_by_head({"direct": table, "copies IO": {(1, 0): 0.5}})
    assert scores[1, 0] == {"direct": 2.0, "copies IO": 0.5}
    assert scores[0, 1] == {"direct": 1.0}
