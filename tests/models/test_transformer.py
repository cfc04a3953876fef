"""The course model against independent computations and against TransformerLens' own tools."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from transformer_lens import ActivationCache, patching
from transformer_lens.head_detector import detect_head

from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import CourseConfig, default_vocabulary
from circuits_course.models.layers import Attention, smear
from circuits_course.models.transformer import CourseTransformer

SIZES = {"n_layers": 2, "n_heads": 3, "d_model": 12, "d_head": 5, "d_vocab": 11, "n_ctx": 16}
PLAIN = CourseConfig(**SIZES)
VARIANTS = {
    "attention only": PLAIN,
    "smeared": CourseConfig(**SIZES, smeared_keys=True),
    "norm": CourseConfig(**SIZES, normalization_type="LNPre"),
    "mlp": CourseConfig(**SIZES, d_mlp=7),
    "mlp and norm": CourseConfig(**SIZES, d_mlp=7, act_fn="gelu", normalization_type="LNPre"),
}


def build(cfg: CourseConfig) -> CourseTransformer:
    """A model none of whose weights is left at a special value."""
    model = CourseTransformer(replace(cfg))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return model


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest) -> CourseTransformer:
    return build(VARIANTS[request.param])


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 11, (2, 9), generator=torch.Generator().manual_seed(3))


def plain_forward(model: CourseTransformer, tokens: torch.Tensor) -> torch.Tensor:
    """The same network in loops over heads with torch's own attention; no hooks, no einsum."""
    cfg, w = model.cfg, model.state_dict()
    n_pos, x = tokens.shape[1], w["embed.W_E"][tokens]
    positions = w["pos_embed.W_pos"][:n_pos]

    def norm(t: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(t, (cfg.d_model,), eps=cfg.eps) if cfg.normalization_type else t

    for layer in range(cfg.n_layers):
        read, write = norm(x), torch.zeros_like(x)
        for head in range(cfg.n_heads):
            W_Q, W_K, W_V, W_O = (
                w[f"blocks.{layer}.attn.W_{name}"][head] for name in ("Q", "K", "V", "O")
            )
            q, k, v = (read + positions) @ W_Q, (read + positions) @ W_K, read @ W_V
            if cfg.smeared_keys:
                s = torch.sigmoid(w[f"blocks.{layer}.attn.alpha"][head])
                left = torch.cat([k[:, :1], k[:, :-1]], 1)
                k = s * k + (1 - s) * left
            write = write + F.scaled_dot_product_attention(q, k, v, is_causal=True) @ W_O
        x = x + write
        if cfg.d_mlp:
            m = {n: w[f"blocks.{layer}.mlp.{n}"] for n in ("W_in", "b_in", "W_out", "b_out")}
            act = {"relu": F.relu, "gelu": F.gelu}[cfg.act_fn]
            x = x + act(norm(x) @ m["W_in"] + m["b_in"]) @ m["W_out"] + m["b_out"]
    return norm(x) @ w["unembed.W_U"]


def test_logits_equal_an_independent_forward(model, tokens):
    torch.testing.assert_close(model(tokens), plain_forward(model, tokens), rtol=0, atol=1e-5)


def test_logits_are_the_sum_of_paths(tokens):
    """Direct path, every head alone, every virtual head; patterns taken from the run."""
    model = build(PLAIN)
    logits, cache = model.run_with_cache(tokens)
    embedded, W_U = model.W_E[tokens], model.W_U
    OV = model.OV.AB
    direct = embedded @ W_U
    single = sum(
        cache["pattern", layer][:, head] @ embedded @ OV[layer, head] @ W_U
        for layer, head in itertools.product(range(2), range(3))
    )
    virtual = sum(
        cache["pattern", 1][:, b] @ cache["pattern", 0][:, a] @ embedded @ OV[0, a] @ OV[1, b] @ W_U
        for a, b in itertools.product(range(3), range(3))
    )
    torch.testing.assert_close(direct + single + virtual, logits, rtol=0, atol=1e-5)


def test_positions_never_enter_the_residual_stream(tokens):
    model = build(PLAIN)
    _, before = model.run_with_cache(tokens)
    frozen = [
        (f"blocks.{layer}.attn.hook_pattern", lambda x, hook, p=before["pattern", layer]: p)
        for layer in range(2)
    ]
    logits = model.run_with_hooks(tokens, fwd_hooks=frozen)
    with torch.no_grad():
        model.pos_embed.W_pos.normal_()
    torch.testing.assert_close(model.run_with_hooks(tokens, fwd_hooks=frozen), logits)


def test_weights_are_stacked_as_in_transformer_lens():
    model = build(PLAIN)
    assert model.W_Q.shape == model.W_K.shape == model.W_V.shape == (2, 3, 12, 5)
    assert model.W_O.shape == (2, 3, 5, 12)
    assert (model.W_E.shape, model.W_U.shape, model.W_pos.shape) == ((11, 12), (12, 11), (16, 12))
    torch.testing.assert_close(model.QK.AB[1, 2], model.W_Q[1, 2] @ model.W_K[1, 2].T)
    torch.testing.assert_close(model.OV.AB[0, 1], model.blocks[0].attn.OV.AB[1])


def test_starts_in_eval_mode_and_depends_on_the_seed():
    one, same = CourseTransformer(CourseConfig(seed=1)), CourseTransformer(CourseConfig(seed=1))
    other = CourseTransformer(CourseConfig(seed=2))
    assert not one.training
    assert torch.equal(one.W_Q, same.W_Q)
    assert not torch.equal(one.W_Q, other.W_Q)


# -- TransformerLens' tools -------------------------------------------------------------------


def test_decompositions_sum_to_the_final_residual_stream(model, tokens):
    model.set_use_attn_result(True)
    _, cache = model.run_with_cache(tokens)
    assert isinstance(cache, ActivationCache)
    final = cache["resid_post", 1]
    torch.testing.assert_close(cache.decompose_resid().sum(0), final)
    torch.testing.assert_close(cache.stack_head_results(incl_remainder=True).sum(0), final)
    torch.testing.assert_close(cache.get_full_resid_decomposition().sum(0), final)
    assert cache.accumulated_resid().shape[0] == 3


def test_head_results_are_the_hooked_ones(tokens):
    model = build(PLAIN)
    _, from_z = model.run_with_cache(tokens)
    computed = from_z.stack_head_results()
    model.set_use_attn_result(True)
    _, hooked = model.run_with_cache(tokens)
    torch.testing.assert_close(hooked.stack_head_results(), computed)
    torch.testing.assert_close(hooked["result", 0].sum(2), hooked["attn_out", 0])


def test_logit_attributions_sum_to_the_logit_difference(model, tokens):
    logits, cache = model.run_with_cache(tokens)
    right, wrong = torch.tensor([4, 7]), torch.tensor([1, 2])
    parts = cache.decompose_resid(pos_slice=-1)
    attrs = cache.logit_attrs(parts, right, wrong, pos_slice=-1)
    last = logits[:, -1]
    expected = last[torch.arange(2), right] - last[torch.arange(2), wrong]
    torch.testing.assert_close(attrs.sum(0), expected, rtol=1e-4, atol=1e-5)


def test_logit_lens_ends_at_the_logits(model, tokens):
    logits, cache = model.run_with_cache(tokens)
    lens = cache.logit_lens(return_type="logits").values
    torch.testing.assert_close(lens[-1], logits[:, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("sweep", "shape"),
    [
        (patching.get_act_patch_attn_head_out_all_pos, (2, 3)),
        (patching.get_act_patch_attn_head_k_all_pos, (2, 3)),
        (patching.get_act_patch_attn_head_pattern_all_pos, (2, 3)),
        (patching.get_act_patch_resid_pre, (2, 9)),
    ],
)
def test_activation_patching_sweeps(model, tokens, sweep, shape, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    corrupted = tokens.clone()
    corrupted[:, 4] = (corrupted[:, 4] + 1) % 11
    clean_logits, cache = model.run_with_cache(tokens)

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1, 5].mean()

    result = sweep(model, corrupted, cache, metric)
    assert result.shape == shape
    if sweep is patching.get_act_patch_resid_pre:  # the patch at the corrupted position heals all
        torch.testing.assert_close(result[0, 4], metric(clean_logits))
        torch.testing.assert_close(result[0, 0], metric(model(corrupted)))


def test_every_kind_of_head_patch_and_the_direct_path(tokens, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    model = build(PLAIN)
    _, cache = model.run_with_cache(tokens)
    _, corrupted_cache = model.run_with_cache(tokens.flip(1))
    every = patching.get_act_patch_attn_head_all_pos_every(
        model, tokens.flip(1), cache, lambda logits: logits[:, -1, 5].mean()
    )
    assert every.shape == (5, 2, 3)
    direct = patching.get_act_patch_direct_path(
        model,
        tokens.flip(1),
        cache,
        corrupted_cache,
        lambda logits: logits[:, -1, 5].mean(),
        src_layer=0,
        src_head=1,
        component="k",
    )
    assert torch.isfinite(direct).all()
    assert not model.cfg.use_split_qkv_input


def test_detect_head_finds_a_hand_made_previous_token_head():
    cfg = CourseConfig(n_layers=1, n_heads=2, d_model=16, d_head=16, d_vocab=20, n_ctx=16)
    model = CourseTransformer.blank(cfg)
    with torch.no_grad():
        model.pos_embed.W_pos.copy_(torch.eye(16))
    model.set_head(0, 1, W_Q=60 * torch.eye(16).roll(-1, 1), W_K=torch.eye(16))
    scores = detect_head(model, "abcdefgh", "previous_token_head")
    assert scores.shape == (1, 2)
    assert scores[0, 1] > 0.85 > 0.5 > scores[0, 0]


def test_editing_attention_scores_acts(model, tokens):
    def look_at_the_first_only(scores: torch.Tensor, hook: object) -> torch.Tensor:
        scores[:, 2, :, 1:] = -torch.inf
        return scores

    hook = [("blocks.0.attn.hook_attn_scores", look_at_the_first_only)]
    with model.hooks(fwd_hooks=hook):
        logits, cache = model.run_with_cache(tokens)
    assert torch.equal(cache["pattern", 0][:, 2, :, 0], torch.ones(2, 9))
    assert not torch.allclose(logits, model(tokens))


def test_split_inputs_give_the_same_logits_and_can_be_edited_per_head(model, tokens):
    plain = model(tokens)
    model.set_use_split_qkv_input(True)
    torch.testing.assert_close(model(tokens), plain, rtol=1e-5, atol=1e-5)

    def blind(value_input: torch.Tensor, hook: object) -> torch.Tensor:
        value_input[:, :, 1] = 0
        return value_input

    with model.hooks(fwd_hooks=[("blocks.1.attn.hook_v_input", blind)]):
        _, cache = model.run_with_cache(tokens)
    assert not cache["v", 1][:, :, 1].any()
    assert cache["v", 1][:, :, 0].any()


def test_mlp_input_can_be_edited_alone(tokens):
    model = build(VARIANTS["mlp"])
    model.set_use_hook_mlp_in(True)

    def silence(mlp_in: torch.Tensor, hook: object) -> torch.Tensor:
        return mlp_in.zero_()

    with model.hooks(fwd_hooks=[("blocks.0.hook_mlp_in", silence)]):
        _, cache = model.run_with_cache(tokens)
    assert cache["resid_mid", 0].any()
    assert torch.equal(cache["mlp_out", 0][0, 0], cache["mlp_out", 0][1, 5])


def test_stopping_and_starting_at_a_layer(model, tokens):
    resid = model(tokens, stop_at_layer=1)
    torch.testing.assert_close(model(resid, start_at_layer=1), model(tokens))


# -- losses, tokens, mistakes -----------------------------------------------------------------


def test_losses(tokens):
    model = build(PLAIN)
    logits, loss = model(tokens, return_type="both")
    log_probs = logits.log_softmax(-1)
    by_hand = [-log_probs[b, p, tokens[b, p + 1]] for b in range(2) for p in range(8)]
    torch.testing.assert_close(loss, torch.stack(by_hand).mean())
    per_token = model(tokens, return_type="loss", loss_per_token=True)
    torch.testing.assert_close(per_token.flatten(), torch.stack(by_hand))


def test_smearing_mixes_each_key_with_its_left_neighbour():
    k = torch.arange(24.0).reshape(1, 3, 2, 4)
    alpha = torch.tensor([0.0, 100.0])
    smeared = smear(k, alpha)
    torch.testing.assert_close(smeared[0, 0], k[0, 0])
    torch.testing.assert_close(smeared[0, 2, 0], (k[0, 2, 0] + k[0, 1, 0]) / 2)
    torch.testing.assert_close(smeared[:, :, 1], k[:, :, 1])


def test_symbols_and_words():
    model = CourseTransformer(CourseConfig())
    assert len(set(model.cfg.vocabulary)) == 64
    assert all(len(symbol) == 1 for symbol in default_vocabulary(400)[1:])
    assert model.to_str_tokens("q x b q") == ["BOS", "q", "x", "b", "q"]
    assert model.to_tokens(["ab", "cd"]).tolist() == [[0, 1, 2], [0, 3, 4]]
    assert model.to_string(model.to_tokens("abc")[0, 1:]) == "abc"
    words = CourseTransformer(CourseConfig(d_vocab=3, vocabulary=("BOS", "keep", "mind")))
    assert words.to_tokens("mind keep", prepend_bos=False).tolist() == [[2, 1]]


def test_mistakes_are_named():
    model = CourseTransformer(CourseConfig(n_ctx=8))
    with pytest.raises(UnknownName, match="symbol"):
        model.to_tokens("a!")
    with pytest.raises(CourseError, match="equal lengths"):
        model.to_tokens(["a", "bc"])
    with pytest.raises(CourseError, match="n_ctx of 8"):
        model("abcdefghij")
    with pytest.raises(UnknownName, match="return type"):
        model("ab", return_type="los")
    with pytest.raises(CourseError, match=r"W_O of one head is \[16, 64\]"):
        model.set_head(0, 0, W_O=torch.zeros(64, 16))
    with pytest.raises(CourseError, match="d_vocab is 3"):
        CourseConfig(d_vocab=3, vocabulary=("BOS",))


def test_heads_can_be_written_by_hand_in_any_shape():
    cfg = CourseConfig(n_layers=1, n_heads=1, d_model=4, d_head=2, d_vocab=4, n_ctx=6)
    model = CourseTransformer.blank(cfg)
    assert not any(weight.any() for weight in model.parameters())
    model.set_head(0, 0, W_V=torch.eye(4)[:, :2], W_O=torch.eye(4)[:2])
    assert isinstance(model.blocks[0].attn, Attention)
    assert torch.equal(model.OV.AB[0, 0], torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0])))
