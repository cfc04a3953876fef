"""The edge engine: against path patching, against TransformerLens, and at its own two ends."""

from __future__ import annotations

import pytest
import torch
from circuits.architectures import gpt2_shaped, pythia_shaped, rotary_with_grouped_keys

from circuits_course import load_model
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits import (
    METHODS,
    Edge,
    acdc,
    acdc_scores,
    area_under,
    edge_attribution,
    edge_effects,
    edges_of,
    faithfulness_curve,
    induction_task,
    integrated_edge_attribution,
    metric_gap,
    node_attribution,
    node_scores,
    path_patch,
    precision_recall,
    random_circuits,
    run_with_edges,
    strongest_edges,
)
from circuits_course.circuits.discovery import random_scores
from circuits_course.circuits.patching import attribution_patch
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer


def attention_only():
    return random_model()


def with_mlp_and_norm():
    return _loud(CourseConfig(3, 4, 20, 6, 30, 16, d_mlp=28, normalization_type="LNPre", seed=3))


def with_smeared_keys():
    return _loud(CourseConfig(2, 4, 20, 6, 30, 16, smeared_keys=True, seed=4))


def _loud(cfg):
    model = CourseTransformer(cfg)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(0.35 / weight.std())
    return model.requires_grad_(False)


KINDS = [
    attention_only,
    with_mlp_and_norm,
    with_smeared_keys,
    rotary_with_grouped_keys,
    gpt2_shaped,
    pythia_shaped,
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def model(request):
    return request.param()


@pytest.fixture(scope="module")
def small():
    return random_model()


@pytest.fixture(scope="module")
def prompts():
    clean, corrupted = words(3, 7, seed=1), words(3, 7, seed=2)
    corrupted[:, 0] = clean[:, 0]
    metric = LogitDifference(
        torch.tensor([3, 5, 7]), torch.tensor([2, 9, 4]), torch.tensor([-1, 5, 6])
    )
    return clean, corrupted, metric


def words(batch, pos, seed):
    """Tokens above 2, which pads in SmolLM2."""
    return random_tokens(batch, pos, d_vocab=28, seed=seed) + 2


def some(edges, count=12, seed=0):
    return random_circuits(edges, count, 1, seed)[0]


# --- the graph --------------------------------------------------------------------------------


def test_every_sender_is_joined_to_every_later_receiver(small):
    edges = edges_of(small)
    assert len(edges) == len(set(edges)) == 12 * (1 + 5 + 9) + 13
    assert Edge((0, 1), (1, 2, "k")) in edges
    assert Edge((2, 3), "logits") in edges
    assert ((0, 1), (0, 2, "k")) not in edges
    assert ((2, 0), (1, 0, "q")) not in edges
    assert str(Edge((0, 1), (1, 2, "k"))) == "0.1 -> 1.2 k"


def test_gpt2_has_as_many_edges_as_the_benchmark_counts():
    """32,491 edges in GPT-2 small: the Mechanistic Interpretability Benchmark's own number."""

    class GPT2:
        class cfg:
            n_layers, n_heads, n_key_value_heads = 12, 12, None

    assert len(edges_of(GPT2)) == 32_491


def test_grouped_keys_are_one_receiver_and_parallel_mlps_do_not_hear_their_layer():
    edges = edges_of(rotary_with_grouped_keys())
    assert sum(e.receiver == (2, 1, "k") for e in edges) == 1 + 7 * 2
    assert ((0, 0), (1, 2, "k")) not in edges
    assert ((0, 0), (1, 5, "q")) in edges
    assert ((1, 3), (1, "mlp")) in edges
    assert ((1, 3), (1, "mlp")) not in edges_of(pythia_shaped())
    assert str(Edge((1, "mlp"), "logits")) == "mlp 1 -> logits"


# --- runs -------------------------------------------------------------------------------------


def test_all_edges_are_the_clean_run_and_none_the_corrupted(model, prompts):
    clean, corrupted, _ = prompts
    scale = model(clean).std()
    for kept, tokens in ((edges_of(model), clean), ([], corrupted)):
        found = run_with_edges(model, clean, corrupted, kept).log_softmax(-1)
        assert (found - model(tokens).log_softmax(-1)).abs().max() < 1e-4 * scale


def test_all_edges_are_the_clean_run_where_the_others_carry_nothing(model, prompts):
    clean, _, _ = prompts
    found = run_with_edges(model, clean, None, edges_of(model)).log_softmax(-1)
    torch.testing.assert_close(found, model(clean).log_softmax(-1), atol=2e-4, rtol=1e-4)


def test_with_no_edges_and_nothing_instead_all_prompts_read_alike(model, prompts):
    found = run_with_edges(model, prompts[0], None, [])
    torch.testing.assert_close(found, found[:1, :1].expand_as(found), atol=1e-4, rtol=1e-4)


def by_hooks(model, clean, corrupted, kept):
    """`run_with_edges` with TransformerLens' split inputs, sender by sender."""
    model.set_use_split_qkv_input(True)
    model.set_use_attn_result(True)
    model.set_use_hook_mlp_in(True)
    _, other = model.run_with_cache(corrupted)
    moved = {"embed": model.embed(clean) - other["hook_embed"]}
    last = model.cfg.n_layers - 1

    def heard(value, receiver):
        return value + sum(moved[s] for s, r in kept if r == receiver)

    def into_heads(value, hook):
        letter, layer = hook.name.split("hook_")[1][0], hook.layer()
        base = other[f"blocks.{layer}.hook_resid_pre"]
        heads = range(model.cfg.n_heads)
        return torch.stack([heard(base, (layer, head, letter)) for head in heads], dim=2)

    def out_of_heads(value, hook):
        for head in range(model.cfg.n_heads):
            moved[hook.layer(), head] = (value - other[hook.name])[:, :, head]

    def into_mlp(value, hook):
        return heard(other[f"blocks.{hook.layer()}.hook_resid_mid"], (hook.layer(), "mlp"))

    def out_of_mlp(value, hook):
        moved[hook.layer(), "mlp"] = value - other[hook.name]

    def to_logits(value, hook):
        return heard(other[hook.name], "logits")

    hooks = []
    for layer in range(model.cfg.n_layers):
        block = f"blocks.{layer}."
        hooks += [(f"{block}attn.hook_{letter}_input", into_heads) for letter in "qkv"]
        hooks.append((f"{block}attn.hook_result", out_of_heads))
        if not model.cfg.attn_only:
            hooks += [(f"{block}hook_mlp_in", into_mlp), (f"{block}hook_mlp_out", out_of_mlp)]
    hooks.append((f"blocks.{last}.hook_resid_post", to_logits))
    try:
        return model.run_with_hooks(clean, fwd_hooks=hooks)
    finally:
        model.set_use_split_qkv_input(False)
        model.set_use_attn_result(False)
        model.set_use_hook_mlp_in(False)


@pytest.mark.parametrize("kind", [attention_only, with_mlp_and_norm, with_smeared_keys])
def test_a_circuit_is_what_hooks_give(kind, prompts):
    model, (clean, corrupted, _) = kind(), prompts
    for size in (5, 40, 70):
        kept = random_circuits(edges_of(model), size, 1, seed=size)[0]
        theirs = by_hooks(model, clean, corrupted, kept)
        ours = run_with_edges(model, clean, corrupted, kept)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_circuit_scores_as_transformer_lens_says():
    """TransformerLens ablates edges outside a circuit too, for one prompt and by position."""
    from transformer_lens.tools.analysis import attribution_patching as theirs

    model = gpt2_shaped()
    clean, corrupted = words(1, 5, seed=1), words(1, 5, seed=2)
    metric = LogitDifference(torch.tensor([3]), torch.tensor([2]))
    config = theirs.EdgeAttributionConfig(granularity="edge")
    edges = list(
        theirs.attribution_patch(model, clean, corrupted, metric, config=config).edge_scores
    )
    kept = some(edges_of(model), 60)
    mine = [edge for edge in edges if named(edge) in set(kept)]
    result = theirs.faithfulness(model, clean, corrupted, metric, mine)
    low, high = metric(model(corrupted)), metric(model(clean))
    found = (metric(run_with_edges(model, clean, corrupted, kept)) - low) / (high - low)
    assert result.recovered == pytest.approx(found.item(), abs=1e-3)


def named(edge):
    """TransformerLens' edge by our names; its position dropped."""
    sender, receiver = edge
    ours = {"embed": "embed", "attn_head_out": (sender.layer, sender.head)}
    theirs = {"mlp_in": (receiver.layer, "mlp"), "logits": "logits"}
    return (
        ours.get(sender.kind, (sender.layer, "mlp")),
        theirs.get(receiver.kind, (receiver.layer, receiver.head, receiver.kind[0])),
    )


# --- single edges -----------------------------------------------------------------------------


def test_one_edge_is_one_path_where_there_are_no_mlps(small, prompts):
    clean, corrupted, metric = prompts
    edges = [e for e in edges_of(small) if e.sender != "embed"]
    found, before = edge_effects(small, clean, corrupted, metric, edges), metric(small(clean))
    for edge in edges:
        path = path_patch(small, clean, corrupted, edge.sender, edge.receiver, metric)
        assert found[edge] == pytest.approx(path - before.item(), abs=1e-4), edge


def test_beside_an_mlp_one_edge_is_one_path_to_the_next_layer(prompts):
    model, (clean, corrupted, metric) = pythia_shaped(), prompts
    edges = [((1, 2), (2, head, letter)) for head in range(4) for letter in "qkv"]
    found, before = edge_effects(model, clean, corrupted, metric, edges), metric(model(clean))
    for edge in edges:
        path = path_patch(model, clean, corrupted, *edge, metric)
        assert found[edge] == pytest.approx(path - before.item(), abs=2e-4), edge


@pytest.mark.parametrize("silent", [False, True])
def test_one_edge_is_a_run_with_all_others(model, prompts, silent):
    clean, corrupted, metric = prompts
    corrupted = None if silent else corrupted
    every = edges_of(model)
    edges = [*some(every), *(e for e in every if e.receiver in ("logits", (2, "mlp")))]
    found, before = edge_effects(model, clean, corrupted, metric, edges), metric(model(clean))
    for edge in edges:
        kept = [e for e in every if e != edge]
        change = metric(run_with_edges(model, clean, corrupted, kept)) - before
        assert found[edge] == pytest.approx(change.item(), abs=2e-3, rel=1e-3), edge


def test_effects_come_for_each_prompt(small, prompts):
    clean, corrupted, metric = prompts
    edges = some(edges_of(small), 4)
    each = edge_effects(small, clean, corrupted, metric.each(), edges)
    mean = edge_effects(small, clean, corrupted, metric, edges)
    assert all(each[e].mean().item() == pytest.approx(mean[e], abs=1e-5) for e in edges)


# --- attribution ------------------------------------------------------------------------------


def linear_model():
    """Attention that looks the same way whatever the tokens: all else is linear."""
    model = random_model(seed=7)
    free = CourseTransformer(model.cfg)
    free.load_state_dict(model.state_dict())
    with torch.no_grad():
        for block in free.blocks:
            block.attn.W_Q.zero_()
    return free.requires_grad_(False)


@pytest.mark.parametrize("silent", [False, True])
def test_on_a_linear_model_the_estimate_is_the_effect(prompts, silent):
    clean, corrupted, metric = prompts
    corrupted, model = None if silent else corrupted, linear_model()
    exact = edge_effects(model, clean, corrupted, metric)
    for estimate in (
        edge_attribution(model, clean, corrupted, metric),
        integrated_edge_attribution(model, clean, corrupted, metric, 3),
    ):
        assert max(abs(estimate[e] - exact[e]) for e in exact) < 1e-5
    assert max(map(abs, exact.values())) > 0.01


def test_the_estimate_is_a_slope(prompts):
    """With prompts that differ in one small step, estimate and effect are the same."""
    model, (clean, _, metric) = with_mlp_and_norm(), prompts
    near = CourseTransformer(model.cfg)
    near.load_state_dict(model.state_dict())
    near = near.double()
    corrupted = clean.clone()
    corrupted[:, 2] = 29  # a token whose embedding is put next to that of token 28
    clean = clean.clone()
    clean[:, 2] = 28
    with torch.no_grad():
        near.embed.W_E[29] = near.embed.W_E[28] + 1e-5 * torch.randn(20, dtype=torch.float64)
    exact = edge_effects(near, clean, corrupted, metric)
    estimate = edge_attribution(near, clean, corrupted, metric)
    largest = max(map(abs, exact.values()))
    assert max(abs(estimate[e] - exact[e]) for e in exact) < 1e-3 * largest


def test_one_step_is_plain_attribution_and_parts_of_the_batch_add_up(model, prompts, monkeypatch):
    clean, corrupted, metric = prompts
    plain = edge_attribution(model, clean, corrupted, metric)
    monkeypatch.setattr("circuits_course.circuits.discovery.attributing.AT_ONCE", 1)
    for same in (
        integrated_edge_attribution(model, clean, corrupted, metric, 1),
        edge_attribution(model, clean, corrupted, metric),
    ):
        assert same == pytest.approx(plain, abs=1e-4, rel=1e-3)


def test_any_function_of_the_logits_is_a_metric(small, prompts):
    clean, corrupted, metric = prompts
    plain = edge_attribution(small, clean, corrupted, metric)
    assert edge_attribution(small, clean, corrupted, lambda x: metric(x)) == pytest.approx(
        plain, abs=1e-3
    )


def test_edges_out_of_a_node_sum_to_the_node(model, prompts):
    """The gradient at a sender is the sum of the gradients where it is read."""
    clean, corrupted, metric = prompts
    edges = edge_attribution(model, clean, corrupted, metric)
    nodes = node_attribution(model, clean, corrupted, metric)
    largest = max(map(abs, nodes.values()))
    for sender, value in nodes.items():
        total = sum(x for e, x in edges.items() if e.sender == sender)
        assert total == pytest.approx(value, abs=1e-3 * largest)


def test_nodes_are_those_of_attribution_patching(model, prompts):
    clean, corrupted, metric = prompts
    nodes = node_attribution(model, clean, corrupted, metric)
    heads = attribution_patch(model, clean, corrupted, metric, mode="noising")
    for layer, row in enumerate(heads.tolist()):
        for head, value in enumerate(row):
            assert nodes[layer, head] == pytest.approx(value, abs=1e-4, rel=1e-3)


def test_edges_are_those_of_transformer_lens_with_the_prompts_exchanged():
    """TransformerLens takes its gradient in the corrupted run, towards the clean one."""
    from transformer_lens.tools.analysis import attribution_patching as theirs

    model = gpt2_shaped()
    clean, corrupted = words(2, 5, seed=1), words(2, 5, seed=2)
    metric = LogitDifference(torch.tensor([3, 5]), torch.tensor([2, 9]))
    one = LogitDifference(torch.tensor([3]), torch.tensor([2]))
    config = theirs.EdgeAttributionConfig(granularity="edge")
    result = theirs.attribution_patch(model, clean[:1], corrupted[:1], one, config=config)
    total: dict = {}
    for edge, score in result.edge_scores.items():
        total[named(edge)] = total.get(named(edge), 0.0) + score
    ours = edge_attribution(model, corrupted[:1], clean[:1], one)
    assert set(total) == set(ours)
    assert ours == pytest.approx(total, abs=1e-3, rel=1e-3)
    assert len(edge_attribution(model, corrupted, clean, metric)) == len(ours)


# --- ACDC -------------------------------------------------------------------------------------


def test_thresholds_of_nothing_and_of_infinity(small, prompts):
    assert acdc(small, *prompts, 0) == edges_of(small)
    assert acdc(small, *prompts, torch.inf) == []


def test_a_lower_threshold_keeps_more(small, prompts):
    sizes = [len(acdc(small, *prompts, threshold)) for threshold in (1.0, 0.1, 0.01)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_what_acdc_leaves_is_near_the_clean_run(small, prompts):
    clean, corrupted, metric = prompts
    threshold = 0.02
    left, grown = [], []
    kept = acdc(
        small, *prompts, threshold, seen=lambda e, by, stays: (left if stays else grown).append(by)
    )
    assert len(left) == len(kept)
    assert len(grown) == len(edges_of(small)) - len(kept)
    assert all(by < threshold for by in grown)
    assert all(by >= threshold for by in left)
    distance = metric(run_with_edges(small, clean, corrupted, kept)) - metric(small(clean))
    assert distance.abs().item() == pytest.approx(sum(grown), abs=1e-4)


def test_the_order_matters_and_is_as_said(small, prompts):
    tried = []
    acdc(small, *prompts, 0.05, seen=lambda e, *_: tried.append(e))
    assert tried[0].receiver == "logits"
    assert tried[-1].receiver == (0, 0, "q")
    found = {
        order: acdc(small, *prompts, 0.05, order=order)
        for order in ("from the logits", "from the embedding", "random")
    }
    assert len({tuple(edges) for edges in found.values()}) == 3
    again = acdc(small, *prompts, 0.05, order="random", seed=1)
    assert again != found["random"]
    assert again == acdc(small, *prompts, 0.05, order="random", seed=1)


# --- every method as a ranking ------------------------------------------------------------------


def test_every_method_scores_every_edge(small, prompts):
    for name, method in METHODS.items():
        assert set(method(small, *prompts)) == set(edges_of(small)), name


def test_acdc_ranks_edges_by_the_last_threshold_that_they_survive(small, prompts):
    gap = abs(metric_gap(small, *prompts))
    scores = acdc_scores(small, *prompts, thresholds=(0.01, 0.1))
    kept = [set(acdc(small, *prompts, share * gap)) for share in (0.01, 0.1)]
    assert {e for e, x in scores.items() if x == 0.1 * gap} == kept[1]
    assert {e for e, x in scores.items() if x == 0.01 * gap} == kept[0] - kept[1]


def test_nodes_rank_an_edge_by_its_weaker_end(prompts):
    model, (clean, corrupted, metric) = rotary_with_grouped_keys(), prompts
    nodes = node_attribution(model, clean, corrupted, metric)
    scores = node_scores(model, clean, corrupted, metric)
    sender, size = abs(nodes[0, 4]), {h: abs(nodes[1, h]) for h in range(6)}
    assert scores[Edge((0, 4), (1, 4, "q"))] == min(sender, size[4])
    assert scores[Edge((0, 4), (1, 1, "k"))] == min(sender, max(size[3], size[4], size[5]))
    assert scores[Edge((0, 4), "logits")] == sender


# --- tasks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["repeats", "chain", "chain against repeats"])
def test_induction_is_a_task_on_either_kind_of_data(data):
    model = load_model("induction-2l")
    task = induction_task(model, data, 6)
    rows = torch.arange(6)
    for tokens, said in ((task.clean, task.metric.right), (task.corrupted, task.metric.wrong)):
        assert torch.equal(model(tokens)[rows, task.metric.position].argmax(-1), said)
    assert metric_gap(model, *task) > 3


def test_a_kind_of_data_that_is_not_known():
    with pytest.raises(UnknownName, match="repeats"):
        induction_task(load_model("induction-2l"), "repeat")


# --- judging ----------------------------------------------------------------------------------


def test_precision_and_recall():
    planted = [((0, 1), (1, 2, "k")), ((1, 2), "logits")]
    assert precision_recall([Edge((0, 1), (1, 2, "k")), Edge((0, 0), "logits")], planted) == (
        0.5,
        0.5,
    )
    assert precision_recall(planted, planted) == (1, 1)
    assert precision_recall([], planted) == (0, 0)
    with pytest.raises(CourseError, match="no planted edge"):
        precision_recall(planted, [])


def test_areas():
    assert area_under([0, 0.5, 1], [0, 1, 1]) == pytest.approx(0.75)
    assert area_under([0, 1], [0, 1]) == pytest.approx(0.5)


def test_a_curve_runs_from_corrupted_to_clean_and_truth_beats_chance(small, prompts):
    clean, corrupted, metric = prompts
    exact = edge_effects(small, *prompts)
    curve = faithfulness_curve(small, *prompts, exact, shares=(0.1, 0.3))
    assert curve.shares == [0.0, 0.1, 0.3, 1.0]
    assert curve.values[0] == pytest.approx(0, abs=1e-4)
    assert curve.values[-1] == pytest.approx(1, abs=1e-4)
    kept = strongest_edges(exact, round(0.1 * len(exact)))
    low, high = metric(small(corrupted)), metric(small(clean))
    value = (metric(run_with_edges(small, clean, corrupted, kept)) - low) / (high - low)
    assert curve.values[1] == pytest.approx(value.item(), abs=1e-4)
    assert curve.cmd == pytest.approx(area_under(curve.shares, [abs(1 - v) for v in curve.values]))


def test_help_is_ranked_by_sign():
    scores = {
        Edge("embed", "logits"): -1.0,
        Edge((0, 0), "logits"): 3.0,
        Edge((0, 1), "logits"): -2.0,
    }
    assert [s for s, _ in strongest_edges(scores, 2)] == [(0, 0), (0, 1)]
    assert [s for s, _ in strongest_edges(scores, 2, "help")] == [(0, 1), "embed"]
    with pytest.raises(UnknownName, match="size of effect"):
        strongest_edges(scores, 2, "size")


def test_random_circuits_are_of_one_size_and_differ(small):
    drawn = random_circuits(edges_of(small), 9)
    assert len(drawn) == 20
    assert all(len(set(c)) == 9 for c in drawn)
    assert len({frozenset(c) for c in drawn}) == 20
    assert set(random_scores(edges_of(small))) == set(edges_of(small))


# --- what does not fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, a, b, metric: run_with_edges(m, a, b, []),
        lambda m, a, b, metric: edge_effects(m, a, b, metric),
        lambda m, a, b, metric: edge_attribution(m, a, b, metric),
        lambda m, a, b, metric: integrated_edge_attribution(m, a, b, metric, 2),
        lambda m, a, b, metric: node_attribution(m, a, b, metric),
        lambda m, a, b, metric: acdc(m, a, b, metric, 1.0),
        lambda m, a, b, metric: faithfulness_curve(m, a, b, metric, {}),
    ],
)
def test_prompts_of_different_lengths_are_refused(small, prompts, ask):
    clean, corrupted, metric = prompts
    with pytest.raises(CourseError, match="need the same shape"):
        ask(small, clean, corrupted[:, :-1], metric)


def test_a_pair_of_different_lengths_under_one_padding_is_refused(prompts):
    model, (clean, corrupted, metric) = rotary_with_grouped_keys(), prompts
    shorter = clean.clone()
    shorter[0, 5:] = model.tokenizer.pad_token_id
    with pytest.raises(CourseError, match="Prompt 0 has 5 tokens clean and 7 corrupted"):
        edge_attribution(model, shorter, corrupted, metric)
    with pytest.raises(CourseError, match="Prompt 0 has 5 tokens clean and 7 corrupted"):
        run_with_edges(model, shorter, corrupted, [])


def test_what_is_no_edge_is_said_in_one_line(small, prompts):
    clean, corrupted, metric = prompts
    for edge in (((0, 9), "logits"), ((1, 0), (0, 0, "q")), "logits", ((0, 0), (0, 1, "mlp"))):
        with pytest.raises(CourseError, match="no edge"):
            run_with_edges(small, clean, corrupted, [edge])
    with pytest.raises(CourseError, match="at least one step"):
        integrated_edge_attribution(small, *prompts, 0)
    with pytest.raises(CourseError, match="from 0 on"):
        acdc(small, *prompts, -1)
    with pytest.raises(UnknownName, match="from the logits"):
        acdc(small, *prompts, 1, order="from the logit")
    with pytest.raises(CourseError, match="score alike"):
        faithfulness_curve(small, clean, clean, metric, edge_effects(small, *prompts))
