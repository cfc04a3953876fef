"""Composition scores and key splits, against TransformerLens and against models' own scores."""

from __future__ import annotations

import pytest
import torch
from transformer_lens import FactoredMatrix
from transformer_lens import utilities as utils

from circuits_course.circuits.composition import (
    all_composition_scores,
    cut_from_keys,
    directions_used,
    for_key_parts,
    head_circuits,
    key_cuts,
    key_parts,
    strongest_pairs,
)
from circuits_course.circuits.heads import attention_moved, diagonal_mean
from circuits_course.circuits.losses import mean_losses
from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

SIZES = {"n_layers": 3, "n_heads": 4, "d_model": 24, "d_head": 6, "d_vocab": 30, "n_ctx": 12}


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def course_model(**options):
    model = CourseTransformer(CourseConfig(**SIZES, **options))
    for weight in model.parameters():
        weight.normal_(std=0.4, generator=torch.Generator().manual_seed(weight.numel()))
    return model


def bridge(kind):
    """A tiny random model of a real architecture: biases and learned positions, or grouped keys,
    rotary positions and RMSNorm, or partial rotation and an MLP beside the attention."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
    )

    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(vocab_size=40, n_positions=16, n_embd=24, n_layer=3, n_head=4)
        hf = GPT2LMHeadModel(config)
    elif kind == "pythia":
        config = GPTNeoXConfig(vocab_size=40, hidden_size=32, num_hidden_layers=3, rotary_pct=0.25,
                               num_attention_heads=4, intermediate_size=48,
                               max_position_embeddings=16)  # fmt: skip
        hf = GPTNeoXForCausalLM(config)
    else:
        config = LlamaConfig(vocab_size=40, hidden_size=24, intermediate_size=32, head_dim=6,
                             num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                             max_position_embeddings=16)  # fmt: skip
        hf = LlamaForCausalLM(config)
    for name, weight in hf.named_parameters():
        if name.endswith("bias") or weight.ndim > 1:
            weight.normal_(std=0.3)
    model = TransformerBridge.boot_transformers(kind, hf_model=hf.eval(), tokenizer=_tokenizer())
    model.enable_compatibility_mode(fold_value_biases=kind != "llama", disable_warnings=True)
    return model.eval()


def _tokenizer():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(40)}
    plain = Tokenizer(models.WordLevel(words, unk_token="w0"))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="w0", eos_token="w0", pad_token="w0",
        name_or_path=".", add_bos_token=True,
    )  # fmt: skip


MODELS = {
    "course": course_model,
    "course with norm and MLP": lambda: course_model(normalization_type="LNPre", d_mlp=32),
    "gpt2": lambda: bridge("gpt2"),
    "llama": lambda: bridge("llama"),
    "pythia": lambda: bridge("pythia"),
}


@pytest.mark.parametrize("name", MODELS)
def test_key_parts_sum_to_the_scores(name):
    model = MODELS[name]()
    tokens = torch.randint(1, 30, (2, 9), generator=torch.Generator().manual_seed(1))
    _, cache = model.run_with_cache(tokens, names_filter=for_key_parts)
    for layer, head in ((0, 1), (1, 3), (2, 2)):
        parts = key_parts(model, cache, layer, head)
        total, scores = sum(parts.values()), cache["attn_scores", layer][:, head]
        past = torch.ones(9, 9).tril().bool()
        torch.testing.assert_close(total[:, past], scores[:, past], atol=1e-4, rtol=1e-4)
        assert f"{layer - 1}.3" in parts or layer == 0
        assert f"{layer}.0" not in parts


@pytest.mark.parametrize("kind", ["Q", "K", "V"])
def test_scores_are_those_of_transformer_lens(kind):
    model = course_model()
    scores = all_composition_scores(model, kind)
    assert scores.shape == (3, 4, 3, 4)
    for low, high in ((0, 1), (0, 2), (1, 2)):
        read = {"Q": model.QK[high], "K": model.QK[high].T, "V": model.OV[high]}[kind]
        theirs = utils.composition_scores(model.OV[low], read)
        torch.testing.assert_close(scores[low, :, high], theirs, atol=1e-5, rtol=1e-4)
        assert not scores[high, :, low].any()


@pytest.mark.parametrize("kind", ["Q", "K", "V"])
def test_scores_of_grouped_heads_are_those_of_the_bridge(kind):
    model = bridge("llama")
    theirs = model.all_composition_scores(kind).scores
    torch.testing.assert_close(all_composition_scores(model, kind), theirs, atol=1e-5, rtol=1e-4)


def test_query_heads_of_a_group_share_keys_and_values():
    model = bridge("llama")
    one, two, three = (head_circuits(model, 1, head) for head in (0, 1, 2))
    assert torch.equal(one.W_K, two.W_K)
    assert torch.equal(one.W_V, two.W_V)
    assert not torch.equal(two.W_K, three.W_K)
    torch.testing.assert_close(one.OV.AB, one.W_V @ one.W_O)
    torch.testing.assert_close(one.QK.AB, one.W_Q @ one.W_K.T)


def test_names_that_are_not_there():
    model = course_model()
    with pytest.raises(CourseError, match=r"no head 0\.4"):
        head_circuits(model, 0, 4)
    with pytest.raises(UnknownName):
        all_composition_scores(model, "X")


@pytest.mark.parametrize("name", MODELS)
def test_cutting_a_key_path_is_what_the_parts_say(name):
    model = MODELS[name]()
    tokens = torch.randint(1, 30, (3, 9), generator=torch.Generator().manual_seed(2))
    logits, cache = model.run_with_cache(tokens)
    source, target = (0, 1), (1, 3)
    scores = cache["attn_scores", 1][:, 3] - key_parts(model, cache, *target)["0.1"]
    kept = []
    keep = ("blocks.1.attn.hook_pattern", lambda p, hook: kept.append(p[:, 3].clone()))
    with model.hooks(fwd_hooks=[keep]):
        cut = cut_from_keys(model, tokens, cache, source, [target])
    torch.testing.assert_close(kept[0], scores.softmax(-1), atol=1e-4, rtol=1e-4)
    assert (cut - logits).abs().max() > 1e-4
    same = cut_from_keys(model, tokens, cache, (1, 1), [target])
    torch.testing.assert_close(same, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_key_cuts_of_each_kind(name):
    model = MODELS[name]()
    tokens = torch.randint(1, 30, (3, 9), generator=torch.Generator().manual_seed(3))
    _, cache = model.run_with_cache(tokens, names_filter=for_key_parts)
    measure = lambda pattern: pattern[:, 4, 1]  # noqa: E731
    scores = cache["attn_scores", 2][:, 1]
    for what, part in key_parts(model, cache, 2, 1).items():
        lost = measure(scores.softmax(-1)) - measure((scores - part).softmax(-1))
        cut = key_cuts(model, cache, 2, 1, measure)[what]
        assert cut == pytest.approx(lost.mean().item(), abs=1e-4)
    for instead in ("mean", "another") if name != "course" else ():  # its attention is one-hot
        replaced = key_cuts(model, cache, 2, 1, measure, instead)
        assert any(abs(lost) > 1e-4 for lost in replaced.values())
    alike = tokens[:1].expand(2, -1)
    _, cache = model.run_with_cache(alike, names_filter=for_key_parts)
    lost = key_cuts(model, cache, 2, 1, measure, "another")
    assert all(abs(value) < 1e-4 for value in lost.values())
    with pytest.raises(UnknownName):
        key_cuts(model, cache, 2, 1, measure, "noise")


def test_directions_used():
    equal = FactoredMatrix(torch.eye(6)[:, :3], torch.eye(3, 8))
    assert directions_used(equal) == pytest.approx(3, abs=1e-4)
    assert directions_used(FactoredMatrix(torch.randn(6, 1), torch.randn(1, 8))) == pytest.approx(1)


def test_diagonals_and_attention_that_moved():
    pattern = torch.eye(5)[[0, 0, 1, 2, 3]]
    assert diagonal_mean(pattern, 1, 1) == 1
    assert diagonal_mean(pattern, 0, 1) == 0
    assert diagonal_mean(torch.stack([pattern, torch.eye(5)]), 1, 2).tolist() == [1, 0]
    moved = attention_moved(pattern, torch.eye(5))
    assert moved.tolist() == [0, 1, 1, 1, 1]
    assert attention_moved(pattern, pattern).sum() == 0


def test_strongest_pairs_are_named():
    scores = torch.zeros(3, 2, 3, 2)
    scores[0, 1, 2, 0], scores[1, 0, 2, 1] = 2.0, 3.0
    assert strongest_pairs(scores, 2) == [((1, 0), (2, 1)), ((0, 1), (2, 0))]


def test_mean_losses_of_each_sequence():
    tokens = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    for row, loss in enumerate(mean_losses(logits, tokens, 2)):
        expected = torch.nn.functional.cross_entropy(logits[row, 1:-1], tokens[row, 2:])
        torch.testing.assert_close(loss, expected)
