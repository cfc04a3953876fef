"""The sweep engine against TransformerLens' own patching, on every kind of model."""

from __future__ import annotations

import os

os.environ["TQDM_DISABLE"] = "1"

import pytest
import torch
from circuits.architectures import gpt2_shaped, pythia_shaped, rotary_with_grouped_keys
from transformer_lens import patching

from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.circuits.patching import (
    Ablation,
    GapSweep,
    ablate,
    attribution_patch,
    attribution_path,
    direct_effects,
    first_difference,
    gap_shares,
    patch_sweep,
    patch_under_noise,
    path_patch,
    path_patch_sweep,
    path_patch_together,
    walk_head,
)
from circuits_course.circuits.patching.stages import BridgeStages, stages_of
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

HEAD, HEAD_POS, POS = ("layer", "head"), ("layer", "head", "position"), ("layer", "position")
THEIRS = {
    ("z", HEAD): patching.get_act_patch_attn_head_out_all_pos,
    ("z", HEAD_POS): patching.get_act_patch_attn_head_out_by_pos,
    ("q", HEAD): patching.get_act_patch_attn_head_q_all_pos,
    ("q", HEAD_POS): patching.get_act_patch_attn_head_q_by_pos,
    ("k", HEAD): patching.get_act_patch_attn_head_k_all_pos,
    ("k", HEAD_POS): patching.get_act_patch_attn_head_k_by_pos,
    ("v", HEAD): patching.get_act_patch_attn_head_v_all_pos,
    ("v", HEAD_POS): patching.get_act_patch_attn_head_v_by_pos,
    ("pattern", HEAD): patching.get_act_patch_attn_head_pattern_all_pos,
    ("pattern", HEAD_POS): patching.get_act_patch_attn_head_pattern_by_pos,
    ("resid_pre", POS): patching.get_act_patch_resid_pre,
    ("attn_out", POS): patching.get_act_patch_attn_out,
    ("mlp_out", POS): patching.get_act_patch_mlp_out,
}


def attention_only():
    return random_model()


def with_mlp_and_norm():
    cfg = CourseConfig(3, 4, 20, 6, 30, 16, d_mlp=28, normalization_type="LNPre", seed=3)
    return _loud(CourseTransformer(cfg))


def with_smeared_keys():
    cfg = CourseConfig(2, 4, 20, 6, 30, 16, smeared_keys=True, seed=4)
    return _loud(CourseTransformer(cfg))


def _loud(model):
    """Weights large enough that patches matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(
                    parameter, std=0.3, generator=torch.Generator().manual_seed(len(name))
                )
    return model.eval()


# Seeds of random tokens are such that none is the one that SmolLM2's tokenizer pads with (2).
MODELS = {
    make.__name__: make
    for make in (
        attention_only, with_mlp_and_norm, with_smeared_keys, rotary_with_grouped_keys, gpt2_shaped,
        pythia_shaped,
    )
}  # fmt: skip


@pytest.fixture(scope="module", params=list(MODELS))
def model(request):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield MODELS[request.param]()
    torch.set_num_threads(threads)


@pytest.fixture
def prompts():
    """Three prompts of seven tokens; the first difference is at position 3, and not in all."""
    clean = random_tokens(3, 7, seed=3)
    corrupted = clean.clone()
    corrupted[0, 3], corrupted[1, 5], corrupted[2, 4:6] = 9, 11, 13
    return clean, corrupted


METRIC = LogitDifference(torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]))


def theirs(model, clean, corrupted, component, axes):
    _, cache = model.run_with_cache(clean)
    result = THEIRS[component, axes](model, corrupted, cache, METRIC)
    swapped = axes == HEAD_POS and component != "pattern"  # they return [layer, position, head]
    return result.permute(0, 2, 1) if swapped else result


@pytest.mark.parametrize(("component", "axes"), list(THEIRS))
def test_every_sweep_equals_transformer_lens(model, prompts, component, axes):
    if component == "mlp_out" and getattr(model.cfg, "attn_only", False):
        pytest.skip("no MLP in this model")
    expected = theirs(model, *prompts, component, axes)
    found = patch_sweep(model, *prompts, METRIC, axes, component=component)
    if component in "kv":  # TransformerLens pads missing key/value heads with zeros
        expected = expected[:, : found.shape[1]]
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (expected - expected.mean()).abs().max() > 1e-4, "nothing happens: the case is empty"


def test_noising_is_denoising_the_other_way_round(model, prompts):
    clean, corrupted = prompts
    noised = patch_sweep(model, clean, corrupted, METRIC, HEAD, mode="noising")
    torch.testing.assert_close(noised, patch_sweep(model, corrupted, clean, METRIC, HEAD))


def test_a_sweep_over_some_heads_leaves_the_others_out(model, prompts):
    whole = patch_sweep(model, *prompts, METRIC, HEAD_POS)
    heads = [(1, 2), (0, 1)]
    found = patch_sweep(model, *prompts, METRIC, HEAD_POS, heads=heads)
    for head in heads:
        torch.testing.assert_close(found[head], whole[head], atol=1e-4, rtol=1e-4)
    assert found.isfinite().sum() == 2 * found.shape[2]
    with pytest.raises(CourseError, match=r"no head 1\.9"):
        patch_sweep(model, *prompts, METRIC, HEAD, heads=[(1, 9)])


def test_any_function_of_the_logits_is_a_metric(model, prompts):
    found = patch_sweep(model, *prompts, lambda logits: METRIC(logits), HEAD_POS)
    torch.testing.assert_close(
        found, patch_sweep(model, *prompts, METRIC, HEAD_POS), atol=1e-4, rtol=1e-4
    )


def test_a_metric_may_read_each_prompt_elsewhere(model, prompts):
    metric = LogitDifference(METRIC.right, METRIC.wrong, torch.tensor([6, 2, 5]))
    slow = patch_sweep(model, *prompts, lambda logits: metric(logits), HEAD_POS)
    fast = patch_sweep(model, *prompts, metric, HEAD_POS)
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


def test_the_engine_itself_works_in_parts(model, prompts, monkeypatch):
    whole = patch_sweep(model, *prompts, METRIC, HEAD)
    monkeypatch.setattr("circuits_course.circuits.patching.tail.NUMBERS", 1)
    monkeypatch.setattr("circuits_course.circuits.patching.stages.NUMBERS", 1)
    parts = patch_sweep(model, *prompts, METRIC, HEAD)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


def test_equal_prompts_leave_the_metric_as_it_is(prompts):
    model, clean = attention_only(), prompts[0]
    swept = patch_sweep(model, clean, clean, METRIC, HEAD_POS)
    torch.testing.assert_close(swept, METRIC(model(clean)).expand_as(swept))


def test_a_model_is_left_without_hooks(prompts):
    model = attention_only()
    patch_sweep(model, *prompts, METRIC)
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


def test_first_difference():
    a = torch.tensor([[1, 2, 3], [1, 2, 3]])
    assert first_difference(a, a) == 3
    assert first_difference(a, torch.tensor([[1, 2, 4], [1, 5, 3]])) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"component": "zz"}, "There is no component to patch 'zz'"),
        ({"mode": "denoise"}, "denoising"),
        ({"over": ("layer",)}, "can be patched over"),
        ({"component": "resid_pre"}, "not over"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(prompts, options, words):
    with pytest.raises(CourseError, match=words.replace("(", r"\(")):
        patch_sweep(attention_only(), *prompts, METRIC, **options)
    with pytest.raises(CourseError, match="same shape"):
        patch_sweep(attention_only(), prompts[0], prompts[1][:, :4], METRIC)
    assert issubclass(UnknownName, CourseError)


# --- path patching ---------------------------------------------------------------------------


def by_hooks(model, clean, corrupted, sender, receivers, position=None):
    """Path patching as Wang et al. describe it, with the whole model run under hooks twice."""
    _, kept = model.run_with_cache(clean)
    _, new = model.run_with_cache(corrupted)
    read = {}

    def freeze(z, hook):
        z = kept[hook.name].clone()
        if hook.layer() == sender[0]:
            rows = slice(None) if position is None else position
            z[:, rows, sender[1]] = new[hook.name][:, rows, sender[1]]
        return z

    def keep(value, hook):
        read[hook.name] = value.clone()

    frozen = [(f"blocks.{layer}.attn.hook_z", freeze) for layer in range(model.cfg.n_layers)]
    inputs = [(f"blocks.{layer}.attn.hook_{name}", keep) for layer, _, name in receivers]
    direct = model.run_with_hooks(clean, fwd_hooks=frozen + inputs)
    if not receivers:
        return METRIC(direct).item()

    def hear(value, hook):
        value = value.clone()
        for layer, head, name in receivers:
            if hook.name == f"blocks.{layer}.attn.hook_{name}":
                value[:, :, head] = read[hook.name][:, :, head]
        return value

    again = [(f"blocks.{layer}.attn.hook_{name}", hear) for layer, _, name in receivers]
    return METRIC(model.run_with_hooks(clean, fwd_hooks=again)).item()


@pytest.mark.parametrize(
    ("sender", "receivers"),
    [
        ((0, 1), [(1, 0, "q")]),
        ((0, 3), [(1, 1, "k")]),
        ((0, 2), [(1, 1, "v"), (1, 3, "q")]),
        ((0, 0), []),
        ((1, 2), []),
    ],
)
@pytest.mark.parametrize("position", [None, 5])
@torch.no_grad()
def test_a_path_is_what_two_hooked_runs_give(model, prompts, sender, receivers, position):
    found = path_patch(model, *prompts, sender, receivers or "logits", METRIC, position=position)
    expected = by_hooks(model, *prompts, sender, receivers, position)
    assert found == pytest.approx(expected, abs=1e-4)
    sweep = path_patch_sweep(model, *prompts, receivers or "logits", METRIC, position=position)
    assert sweep[sender].item() == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_a_path_matters_and_stops_at_its_receivers(model, prompts):
    untouched = METRIC(model(prompts[0])).item()
    sweep = path_patch_sweep(model, *prompts, [(1, 1, "q"), (1, 0, "k")], METRIC)
    assert (sweep[0] - untouched).abs().max() > 1e-4
    torch.testing.assert_close(sweep[1:], torch.full_like(sweep[1:], untouched), atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_whole_head_hears_through_queries_keys_and_values(model, prompts):
    n_kv = getattr(model.cfg, "n_key_value_heads", None) or model.cfg.n_heads
    group = 3 * n_kv // model.cfg.n_heads
    listed = [(1, 3, "q"), (1, group, "k"), (1, group, "v")]
    whole = path_patch(model, *prompts, (0, 1), (1, 3), METRIC)
    assert whole == pytest.approx(path_patch(model, *prompts, (0, 1), listed, METRIC), abs=1e-5)


@pytest.mark.parametrize(
    ("sender", "receivers", "words"),
    [
        ((0, 1), [(0, 1, "q")], "cannot reach"),
        ((7, 0), "logits", "no head 7.0"),
        ((0, 0), [(1, 9, "q")], "no head 1.9"),
        ((0, 0), [(1, 1, "x")], "is no receiver"),
        ((0, 0), ["logits", (1, 1)], "is no receiver"),
        ((0, 0), [], "no receivers"),
    ],
)
def test_paths_that_do_not_exist(prompts, sender, receivers, words):
    with pytest.raises(CourseError, match=words):
        path_patch(attention_only(), *prompts, sender, receivers, METRIC)


# --- attribution patching --------------------------------------------------------------------

ATTRIBUTED = [key for key in THEIRS if key[0] != "mlp_out"]


@pytest.mark.parametrize(("component", "axes"), ATTRIBUTED)
def test_attribution_is_the_slope_of_the_sweep(model, prompts, component, axes):
    """Patching a thousandth of the way changes the metric by a thousandth of the estimate."""
    clean, corrupted = prompts
    estimate = attribution_patch(model, clean, corrupted, METRIC, axes, component=component)
    place = divmod(int(estimate.flatten(1).abs().argmax()), estimate[0].numel())
    layer, inner = place
    head, position = (divmod(inner, estimate.shape[-1]) if axes == HEAD_POS
                      else (inner, None) if axes == HEAD else (None, inner))  # fmt: skip
    slope = slope_of(model, clean, corrupted, component, layer, head, position)
    assert estimate[layer].flatten()[inner].item() == pytest.approx(slope, rel=2e-2, abs=2e-4)


@torch.no_grad()
def slope_of(model, clean, corrupted, component, layer, head, position, step=1e-3):
    from circuits_course.circuits.patching.stages import stages_of

    stages = stages_of(model, clean)
    source = getattr(stages.run(clean), component)[layer]
    rows = slice(None) if position is None else slice(position, position + 1)

    def towards(share):
        def edit(name, where, value):
            if (name, where) != (component, layer):
                return value
            value = value.clone()
            if component == "pattern":
                at = (slice(None), head, rows)
            else:
                at = (slice(None), rows) if head is None else (slice(None), rows, head)
            value[at] += share * (source[at] - value[at])
            return value

        return METRIC(stages.logits(stages.run(corrupted, edit).resid_final)).item()

    return (towards(step) - towards(-step)) / (2 * step)


def test_attribution_equals_that_of_transformer_lens(prompts):
    from transformer_lens.tools.analysis import attribution_patch as theirs

    model, (clean, corrupted) = rotary_with_grouped_keys(), prompts
    metric = LogitDifference(METRIC.right[:1], METRIC.wrong[:1])
    ours = attribution_patch(model, clean[:1], corrupted[:1], metric, HEAD_POS)
    scores = theirs(model, clean[:1], corrupted[:1], metric).node_scores
    compared = 0
    for node, score in scores.items():
        if node.kind == "attn_head_out":
            found = ours[node.layer, node.head, node.position].item()
            assert found == pytest.approx(score, abs=1e-4)
            compared += abs(score) > 1e-4
    assert compared >= 10


def test_positions_of_an_attribution_sum_to_the_head(model, prompts):
    by_position = attribution_patch(model, *prompts, METRIC, HEAD_POS)
    by_head = attribution_patch(model, *prompts, METRIC, HEAD)
    torch.testing.assert_close(by_position.sum(-1), by_head, atol=1e-5, rtol=1e-4)


# --- ablation ----------------------------------------------------------------------------------

ABLATED = [(0, 1), (2, 0), (2, 3)]


@torch.no_grad()
def ablated_by_hooks(model, tokens, instead):
    def edit(z, hook):
        z = z.clone()
        for layer, head in ABLATED:
            if layer == hook.layer():
                z[:, :, head] = instead(hook.name)[:, :, head]
        return z

    names = {f"blocks.{layer}.attn.hook_z" for layer, _ in ABLATED}
    return model.run_with_hooks(tokens, fwd_hooks=[(name, edit) for name in names])


@pytest.mark.parametrize("mode", ["zero", "mean", "resample"])
@torch.no_grad()
def test_ablation_is_what_hooks_give(model, mode):
    if model.cfg.n_layers < 3:
        pytest.skip("two layers")
    tokens = random_tokens(4, 7, seed=5)
    reference = random_tokens(4, 7, seed=3)
    groups = torch.tensor([0, 1, 0, 1])
    _, cache = model.run_with_cache(reference)
    instead = {
        "zero": lambda name: torch.zeros_like(cache[name]),
        "mean": lambda name: torch.stack(
            [cache[name][groups == g].mean(0) for g in groups.tolist()]
        ),
        "resample": lambda name: cache[name][[2, 3, 0, 1]],  # the only other row of each group
    }[mode]
    found = ablate(model, tokens, ABLATED, mode=mode, reference=reference, groups=groups)
    expected = ablated_by_hooks(model, tokens, instead)
    torch.testing.assert_close(
        found.log_softmax(-1), expected.log_softmax(-1), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_ablation_at_some_positions_only(model):
    tokens = random_tokens(3, 7, seed=4)
    mask = torch.zeros(3, 7, dtype=torch.bool)
    mask[0, 4] = mask[2, 6] = True
    plain, found = model(tokens), ablate(model, tokens, {(0, 1): mask}, mode="zero")
    changed = (plain.log_softmax(-1) - found.log_softmax(-1)).abs().amax(-1) > 1e-4
    assert changed[0, 4]
    assert changed[2, 6]
    assert not changed[1].any()
    assert not changed[0, :4].any()
    assert not changed[2, :6].any()


@torch.no_grad()
def test_one_ablation_serves_many_sets_and_metrics(model):
    tokens = random_tokens(3, 7, seed=4)
    ablation = Ablation(model, tokens, "mean")
    for heads in ([], [(0, 1)], [(1, 0), (1, 3)]):
        expected = METRIC(ablation.logits(heads)).item()
        assert ablation.score(heads, METRIC) == pytest.approx(expected, abs=1e-4)
        assert ablation.score(heads, lambda logits: METRIC(logits)) == pytest.approx(
            expected, abs=1e-4
        )
    assert ablation.score([], METRIC) == pytest.approx(METRIC(model(tokens)).item(), abs=1e-4)


@torch.no_grad()
def test_a_reference_may_have_more_prompts_than_the_batch(model):
    tokens = random_tokens(2, 7, seed=4)
    reference = random_tokens(5, 7, seed=3)
    groups, theirs = torch.tensor([4, 7]), torch.tensor([7, 4, 4, 7, 4])
    _, cache = model.run_with_cache(reference)
    found = Ablation(
        model, tokens, "mean", reference=reference, groups=groups, reference_groups=theirs
    )
    for layer, instead in enumerate(found.instead):
        z = cache[f"blocks.{layer}.attn.hook_z"]
        expected = torch.stack([z[[1, 2, 4]].mean(0), z[[0, 3]].mean(0)])
        torch.testing.assert_close(instead, expected, atol=1e-4, rtol=1e-4)


def test_resampling_never_gives_a_prompt_its_own_output():
    from circuits_course.circuits.patching.ablation import _other_rows

    groups = torch.tensor([0, 1, 0, 1, 1, 2, 0])
    for seed in range(5):
        rows = _other_rows(groups, groups, seed)
        assert (groups[rows] == groups).all()
        assert rows.sort().values.tolist() == list(range(7))
        assert (rows != torch.arange(7))[groups != 2].all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "none"}, "no way to ablate 'none'"),
        ({"reference": torch.ones(2, 3, dtype=torch.long)}, "need the length of the tokens"),
        ({"groups": torch.zeros(2)}, "one number for each of the 3 prompts"),
        (
            {"groups": torch.tensor([0, 1, 2]), "reference_groups": torch.tensor([0, 1, 1])},
            r"belongs to the groups \[2\]",
        ),
        ({"heads": [(5, 0)]}, "no head 5.0"),
    ],
)
def test_ablations_that_do_not_fit(options, words):
    arguments = {"heads": [(0, 0)], **options}
    with pytest.raises(CourseError, match=words):
        ablate(attention_only(), random_tokens(3, 7), **arguments)


def test_rotation_depends_on_the_position_alone():
    """Queries and keys of a later position, before any run and after a shorter one."""
    model = rotary_with_grouped_keys()
    stages, long = BridgeStages(model), torch.arange(1, 13)[None]
    resid = stages.embed(long)
    whole = BridgeStages(model).qkv(1, resid, 0)
    torch.testing.assert_close(stages.qkv(1, resid[:, 9:], 9).q, whole.q[:, 9:])
    stages.embed(long[:, :4])
    torch.testing.assert_close(stages.qkv(1, resid[:, 9:], 9).k, whole.k[:, 9:])
    assert (whole.q[:, 9:] - BridgeStages(model).qkv(1, resid[:, 9:], 0).q).abs().max() > 0.1


def _z_replaced(model, tokens, layer, head, z):
    def put(value, hook):
        value = value.clone()
        value[:, :, head] = z
        return value

    return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", put)])


def test_values_of_one_query_head_are_read_with_its_own_pattern(model, prompts):
    """Base pattern times source values at z, whoever else shares the value head."""
    clean, corrupted = prompts
    n_heads = model.cfg.n_heads
    _, new = model.run_with_cache(clean)
    _, old = model.run_with_cache(corrupted)
    found = patch_sweep(model, *prompts, METRIC, HEAD, component="values")
    assert found.shape == (model.cfg.n_layers, n_heads)
    for layer, head in ((0, 1), (1, n_heads - 1)):
        v = new["v", layer]
        kv = head * v.shape[2] // n_heads
        z = old["pattern", layer][:, head] @ v[:, :, kv]
        expected = METRIC(_z_replaced(model, corrupted, layer, head, z))
        torch.testing.assert_close(found[layer, head], expected, atol=1e-4, rtol=1e-4)


def test_shared_keys_and_values_are_what_their_heads_read_together(model, prompts):
    shared = patch_sweep(model, *prompts, METRIC, HEAD, component="v")
    single = patch_sweep(model, *prompts, METRIC, HEAD, component="values")
    keys = patch_sweep(model, *prompts, METRIC, HEAD, component="keys")
    if shared.shape == single.shape:
        torch.testing.assert_close(shared, single, atol=1e-4, rtol=1e-4)
        whole = patch_sweep(model, *prompts, METRIC, HEAD, component="k")
        torch.testing.assert_close(whole, keys, atol=1e-4, rtol=1e-4)
    else:
        assert shared.shape[1] < single.shape[1]
    with pytest.raises(UnknownName):
        attribution_patch(model, *prompts, METRIC, component="values")


def test_an_estimated_path_is_the_slope_of_the_exact_one(model, prompts):
    """With the sender's change made small, path patching and its estimate agree."""
    clean, corrupted = prompts
    if getattr(model.cfg, "smeared_keys", False):
        pytest.skip("keys of smeared models read two positions")
    sender, receiver = (0, 1), (1, 1, "q")
    estimate = attribution_path(model, clean, corrupted, METRIC, sender, receiver)
    stages = stages_of(model, clean)
    base, said = stages.run(clean), stages.run(corrupted, keep=("z",)).z

    def moved(share):
        def frozen(name, layer, value):
            if name != "z":
                return value
            z = base.z[layer].clone()
            if layer == 0:
                z[:, :, 1] += share * (said[0] - base.z[0])[:, :, 1]
            return z

        heard = stages.run(clean, frozen, keep=("q",)).q[1][:, :, 1]

        def say(name, layer, value):
            if (name, layer) == ("q", 1):
                value = value.clone()
                value[:, :, 1] = heard
            return value

        return METRIC(stages.logits(stages.run(clean, say, keep=()).resid_final))

    whole = float(moved(1.0) - moved(0.0))
    exact = path_patch(model, clean, corrupted, sender, receiver, METRIC)
    assert whole == pytest.approx(exact - float(moved(0.0)), abs=1e-3)
    heard_linear = abs(estimate - whole)
    assert heard_linear <= max(0.05, 2.5 * abs(whole)), "an estimate of another order"


def test_direct_effects_add_up_to_the_logit_difference(model, prompts):
    clean, corrupted = prompts
    found = direct_effects(model, clean, METRIC)
    stages = stages_of(model, clean)
    W_U, b_U = stages.unembedding()
    run = stages.run(clean)
    toward = (W_U[:, METRIC.right] - W_U[:, METRIC.wrong]).T
    if str(model.cfg.normalization_type).startswith("LN"):
        toward = toward - toward.mean(-1, keepdim=True)
    rest = (run.resid_pre[0][:, -1] * toward).sum(-1) / found.scale
    biases = sum(stages.write(la, torch.zeros_like(z))[:, -1] for la, z in enumerate(run.z))
    rest = rest + (biases * toward).sum(-1) / found.scale + b_U[METRIC.right] - b_U[METRIC.wrong]
    torch.testing.assert_close(
        found.parts.sum(1).mean() + rest.mean(), torch.tensor(found.metric), atol=1e-3, rtol=1e-3
    )
    z = stages.run(corrupted, keep=("z",)).z[1][:, :, 2]
    replaced = direct_effects(model, clean, METRIC, {(1, 2): z})
    expected = METRIC(_z_replaced(model, clean, 1, 2, z))
    assert replaced.metric == pytest.approx(float(expected), abs=1e-3)


def test_a_walk_begins_corrupted_and_ends_denoised(model, prompts):
    _, corrupted = prompts
    walk = walk_head(model, *prompts, METRIC, (0, 1), [0.0, 0.5, 1.0], (1, 2, -1, 3))
    denoised = patch_sweep(model, *prompts, METRIC, heads=[(0, 1)])[0, 1]
    torch.testing.assert_close(walk.metric[-1], denoised, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(walk.metric[0], METRIC(model(corrupted)), atol=1e-3, rtol=1e-3)
    pattern = model.run_with_cache(corrupted)[1]["pattern", 1][:, 2, -1, 3].mean()
    torch.testing.assert_close(walk.attention[0], pattern, atol=1e-4, rtol=1e-4)


def test_without_noise_every_patch_leaves_the_clean_run(model, prompts):
    clean, _ = prompts
    quiet = patch_under_noise(model, clean, torch.tensor([1, 2, 3]), METRIC, [(0, 1)], size=0.0)
    assert quiet.corrupted == pytest.approx(float(METRIC(model(clean))), abs=1e-3)
    loud = patch_under_noise(model, clean, torch.tensor([1, 2, 3]), METRIC, [(0, 1)])
    assert loud.distance > loud.names > 0
    assert abs(loud.corrupted - quiet.corrupted) > 1e-4
    assert float(quiet.patched[0]) == pytest.approx(quiet.corrupted, abs=1e-3)


def test_a_rough_sweep_is_the_whole_one_with_gaps():
    model = random_model(2, 2)
    clean, corrupted = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 5, 2, 3]])
    metric = LogitDifference(torch.tensor([3]), torch.tensor([4]))
    sweep = GapSweep(model, clean, {"other": corrupted}, metric)
    whole, rough = (sweep("other", "z", "denoising", every) for every in (1, 2))
    assert rough[0].isnan().all()
    torch.testing.assert_close(rough[1], whole[1])


@torch.no_grad()
def test_what_is_asked_of_one_gap_sweep_is_what_single_sweeps_find(model, prompts):
    clean, corrupted = prompts
    other = clean.clone()
    other[:, 2] = torch.tensor([15, 17, 19])
    sweep = GapSweep(model, clean, {"one": corrupted, "other": other}, METRIC)
    for name, tokens in (("other", other), ("one", corrupted)):
        low, high = METRIC(model(tokens)), METRIC(model(clean))
        for mode, start in (("denoising", low), ("noising", high)):
            patched = patch_sweep(model, clean, tokens, METRIC, HEAD_POS, mode=mode)
            shares = sweep(name, direction=mode, over=HEAD_POS, heads=[(0, 1)])
            expected = (patched[0, 1] - start) / (high - low)
            torch.testing.assert_close(shares[0, 1], expected, atol=1e-3, rtol=1e-3)
            assert shares[1:].isnan().all()
    lone = gap_shares(model, clean, corrupted, METRIC, "resid_pre", every=2)
    torch.testing.assert_close(lone, sweep("one", "resid_pre", every=2), equal_nan=True)


@torch.no_grad()
def test_a_sweep_prompt_by_prompt_has_the_mean_of_the_sweep(model, prompts):
    each = patch_sweep(model, *prompts, METRIC.each())
    assert each.shape[-1] == 3
    torch.testing.assert_close(each.mean(-1), patch_sweep(model, *prompts, METRIC))


@torch.no_grad()
def test_senders_at_places_of_their_own_are_the_prompts_one_by_one(model, prompts):
    """Two receivers in different layers, between which there are senders too."""
    layer = model.cfg.n_layers - 1
    receivers = [(layer, 1, "q"), (layer, 0, "k"), (1, 2, "v" if layer == 1 else "q")]
    if model.cfg.n_heads > 4:  # grouped keys: two of them
        receivers[1:] = [(layer, 1, "k"), (1, 4, "q")]
    places, read = torch.tensor([5, -1, 4]), torch.tensor([6, 6, 5])
    metric = LogitDifference(METRIC.right, METRIC.wrong, read)
    for heard in (receivers, "logits"):
        swept = path_patch_sweep(model, *prompts, heard, metric.each(), position=places)
        mean = path_patch_sweep(model, *prompts, heard, metric, position=places)
        torch.testing.assert_close(swept.mean(-1), mean, atol=1e-5, rtol=1e-4)
        for row in range(3):
            pair = [tokens[row : row + 1] for tokens in prompts]
            alone = LogitDifference(METRIC.right[[row]], METRIC.wrong[[row]], int(read[row]))
            expected = path_patch_sweep(
                model, *pair, heard, lambda logits, alone=alone: alone(logits),
                position=int(places[row]),
            )  # fmt: skip
            torch.testing.assert_close(swept[..., row], expected, atol=1e-4, rtol=1e-4)
        senders = [(0, 1), (1, 0)] if layer > 1 else [(0, 1), (0, 0)]
        together = path_patch_together(
            model, *prompts, senders, heard, metric.each(), position=places
        )
        lone = path_patch_together(
            model, *(tokens[1:2] for tokens in prompts), senders, heard,
            LogitDifference(METRIC.right[[1]], METRIC.wrong[[1]]), position=-1,
        )  # fmt: skip
        torch.testing.assert_close(together[1], lone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["zero", "mean"])
@torch.no_grad()
def test_what_an_ablation_remembers_changes_nothing(model, mode):
    """Sets that agree in their lower layers, and prompts that begin alike: as asked alone."""
    tokens = random_tokens(3, 7, seed=4)
    tokens[:, :3] = tokens[:1, :3]
    last = model.cfg.n_layers - 1
    asked = [[(0, 1), (1, 2)], [(0, 1), (1, 3)], [(0, 1)], [(1, 2)], [(0, 1), (last, 0)], []]
    ablation = Ablation(model, tokens, mode)
    assert ablation.first == (3 if mode == "mean" else 0)
    found = {str(heads): ablation.score(heads, METRIC) for heads in asked}
    single = ablation.one_by_one([(0, 1), (1, 2)], METRIC)
    for heads in asked:
        alone = Ablation(model, tokens, mode)
        everywhere = dict.fromkeys(heads, torch.ones_like(tokens, dtype=torch.bool))
        assert found[str(heads)] == pytest.approx(alone.score(everywhere, METRIC), abs=1e-4)
    assert float(single[0, 1]) == pytest.approx(found["[(0, 1)]"], abs=1e-4)
    assert float(single[1, 2]) == pytest.approx(found["[(1, 2)]"], abs=1e-4)
    at_places = ablation.one_by_one([(0, 1)], METRIC, HEAD_POS)[0, 1]
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, 4] = True
    assert float(at_places[4]) == pytest.approx(ablation.score({(0, 1): mask}, METRIC), abs=1e-4)


@torch.no_grad()
def test_an_ablation_forgets_what_it_has_no_room_for(monkeypatch):
    monkeypatch.setattr("circuits_course.circuits.patching.ablation.REMEMBERED", 1)
    model, tokens = random_model(3, 3), random_tokens(2, 5, seed=4)
    ablation = Ablation(model, tokens, "mean")
    for head in range(3):
        ablation.logits([(0, head), (1, 1)])
    assert len(ablation._streams) == 3
