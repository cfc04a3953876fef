"""Composition scores and key splits, against TransformerLens and against models' own scores."""

from __future__ import annotations

import pytest
import torch
from transformer_lens import utilities as utils

from circuits_course.circuits.composition import (
    all_composition_scores,
    for_key_parts,
    head_circuits,
    key_parts,
)
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
    rotary positions and RMSNorm."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(vocab_size=40, n_positions=16, n_embd=24, n_layer=3, n_head=4)
        hf = GPT2LMHeadModel(config)
    else:
        config = LlamaConfig(vocab_size=40, hidden_size=24, intermediate_size=32, head_dim=6,
                             num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                             max_position_embeddings=16)  # fmt: skip
        hf = LlamaForCausalLM(config)
    for name, weight in hf.named_parameters():
        if name.endswith("bias") or weight.ndim > 1:
            weight.normal_(std=0.3)
    model = TransformerBridge.boot_transformers(kind, hf_model=hf.eval(), tokenizer=_tokenizer())
    model.enable_compatibility_mode(fold_value_biases=kind == "gpt2", disable_warnings=True)
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
