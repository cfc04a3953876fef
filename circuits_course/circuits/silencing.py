"""What a model does without some of its heads: its activations, for a look at who misses them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.circuits.heads import Head


@torch.no_grad()
def cache_without(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    heads: Iterable[Head] = (),
    mode: Literal["zero", "mean"] = "zero",
) -> Any:
    """The cached activations on `tokens` while the outputs z of some heads are replaced.

    mode: by zeros, or by the head's own mean over the sequences and positions of this run. For
    other replacements, other prompts and losses see `Ablation`.
    """
    silent = set(heads)

    def replace(z: Tensor, hook: Any) -> Tensor:
        chosen = [head for layer, head in silent if layer == hook.layer()]
        z[:, :, chosen] = z[:, :, chosen].mean((0, 1)) if mode == "mean" else 0.0
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", replace) for layer in {layer for layer, _ in silent}]
    with model.hooks(fwd_hooks=hooks):
        return model.run_with_cache(tokens)[1]
