"""Real language models as TransformerLens bridges, from a folder on disk."""

from __future__ import annotations

import ctypes
import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FOLDED = "norms_folded"  # says in a model's config that `save_folded` wrote it


@contextmanager
def offline() -> Iterator[None]:
    """No look-ups on the Hugging Face hub: everything wanted lies on disk."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice from the libraries while a model loads; errors still show."""
    from transformers.utils import logging as hf_logging

    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    root = logging.getLogger()
    root.addFilter(_below_error)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="transformers|transformer_lens")
            yield
    finally:
        root.removeFilter(_below_error)
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


def _below_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def device() -> str:
    """CUDA if there is one, else the CPU; MPS has given wrong logits (TransformerLens #1178)."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def bridge_from_folder(folder: Path) -> Any:
    """A `save_pretrained` folder as a `TransformerBridge` in compatibility mode, float32, eval.

    Norms are folded, writes and unembedding centred where that is valid: what attribution needs
    to sum to the logit difference. Of a folder that `save_folded` wrote no weight is changed or
    copied: they stay in the file, and processes that load it share one copy in memory.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet(), offline():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return _bridge(model, tokenizer, folder)


def save_folded(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes a model to a folder as compatibility mode leaves it, with float32 weights.

    Another model of the same kind, of the same log-probabilities, whose unembedding is its own.
    The model given is used up.
    """
    import torch

    with quiet(), offline():
        model.config.save_pretrained(folder)  # which the bridge reads
        bridge = _bridge(model, tokenizer, folder)
        weights = {
            name.replace("_original_component.", ""): weight.data
            for name, weight in bridge.original_model.named_parameters()
        }
        changed = {**model.config.to_dict(), "tie_word_embeddings": False, FOLDED: True}
        with torch.device("meta"):
            plain = type(model)(type(model.config).from_dict(changed))
        plain.load_state_dict(weights, assign=True)
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _bridge(model: Any, tokenizer: Any, folder: Path) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    folded = getattr(model.config, FOLDED, False)
    biased = any("attn" in n and n.endswith("bias") for n, _ in model.named_parameters())
    bridge = TransformerBridge.boot_transformers(
        str(folder), hf_model=model, tokenizer=tokenizer, device=device()
    )
    bridge.enable_compatibility_mode(
        fold_ln=not folded,
        center_writing_weights=not folded,
        center_unembed=not folded,
        # Folding value biases copies every weight, so not where there are none.
        fold_value_biases=biased and not folded,
    )
    if not folded:
        give_back_memory()
    return bridge.eval()


def give_back_memory() -> None:
    """Hands memory that was freed back to the system, which the C library of Linux keeps.

    After a model of the size of SmolLM2 is folded that is 0.45 of 1.5 GB.
    """
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        ctypes.CDLL(None).malloc_trim(0)
