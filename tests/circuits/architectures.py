"""Random models of real architectures, in SmolLM2's tokens, as bridges."""

from __future__ import annotations

from functools import cache

import torch

from circuits_course.checks.inputs import random_tokens
from circuits_course.models.smollm2 import smollm2_folder

PAD = 2  # what SmolLM2's tokenizer fills shorter prompts up with


def random_words(batch, pos, seed=0):
    """Random tokens, the padding token not among them: no row seems to end early."""
    tokens = random_tokens(batch, pos, seed=seed)
    return torch.where(tokens == PAD, PAD + 1, tokens)


@cache
def smollm2_tokenizer():
    """Read once, without the model that it belongs to."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2_folder())


def _bridge(hf_model):
    from transformer_lens.model_bridge import TransformerBridge

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in hf_model.parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise if parameter.ndim > 1 else 1 + noise)
    bridge = TransformerBridge.boot_transformers(
        hf_model.config._name_or_path or "random",
        hf_model=hf_model,
        tokenizer=smollm2_tokenizer(),
        device="cpu",
    )
    bridge.enable_compatibility_mode()
    return bridge.eval()


def rotary_with_grouped_keys():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
        intermediate_size=40, vocab_size=49152, max_position_embeddings=64,
    )  # fmt: skip
    return _bridge(LlamaForCausalLM(config))


def gpt2_shaped():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=24, n_layer=3, n_head=4, vocab_size=49152, n_positions=64)
    return _bridge(GPT2LMHeadModel(config))


def pythia_shaped():
    """Rotary positions in part, biases, attention and MLP side by side."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        vocab_size=49152, max_position_embeddings=64, rotary_pct=0.5, tie_word_embeddings=False,
    )  # fmt: skip
    return _bridge(GPTNeoXForCausalLM(config))
