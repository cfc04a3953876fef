"""The sweep engine against TransformerLens' own patching, on every kind of model."""

from __future__ import annotations

import os

os.environ["TQDM_DISABLE"] = "1"

import pytest
import torch
from transformer_lens import patching

from circuits_course.checks.models import random_model, random_tokens
from circuits_course.errors import CourseError, UnknownName
from circuits_course.patching import LogitDifference, first_difference, patch_sweep
from circuits_course.transformer import CourseConfig, CourseTransformer

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


def _bridge(hf_model):
    from transformer_lens.model_bridge import TransformerBridge

    from circuits_course.models import load_model

    tokenizer = load_model("smollm2-135m").tokenizer
    torch.manual_seed(0)
    bridge = TransformerBridge.boot_transformers(
        hf_model.config._name_or_path or "random",
        hf_model=hf_model,
        tokenizer=tokenizer,
        device="cpu",
    )
    bridge.enable_compatibility_mode()
    return bridge.eval()


def _loud(model):
    """Weights large enough that patches matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(
                    parameter, std=0.3, generator=torch.Generator().manual_seed(len(name))
                )
    return model.eval()


def rotary_with_grouped_keys():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
        intermediate_size=40, vocab_size=49152, max_position_embeddings=64,
    )  # fmt: skip
    return _bridge(_loud(LlamaForCausalLM(config)))


def gpt2_shaped():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=24, n_layer=3, n_head=4, vocab_size=49152, n_positions=64)
    return _bridge(_loud(GPT2LMHeadModel(config)))


MODELS = {
    make.__name__: make
    for make in (
        attention_only, with_mlp_and_norm, with_smeared_keys, rotary_with_grouped_keys, gpt2_shaped,
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
    clean = random_tokens(3, 7, seed=1)
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
    monkeypatch.setattr("circuits_course.patching.ROWS", 1)
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
