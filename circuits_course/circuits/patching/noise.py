"""Corruption by Gaussian noise on embeddings, as in Meng et al. 2022 (arXiv 2202.05262)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.padding import require_at_words, require_read_at_words
from circuits_course.circuits.patching.metrics import Metric, Tokens
from circuits_course.circuits.patching.stages import stages_of
from circuits_course.circuits.patching.sweep import replace_heads


class Noised(NamedTuple):
    """What noise does. distance: of the noised embeddings to the nearest token's; names: of the
    embeddings before. corrupted: the metric under noise; patched: with each head's clean output.
    """

    names: float
    distance: float
    corrupted: float
    patched: Float[Tensor, " head"]


@torch.no_grad()
def patch_under_noise(
    model: Any,
    tokens: Tokens,
    positions: Int[Tensor, " batch"],
    metric: Metric,
    heads: Sequence[Head],
    *,
    size: float = 3.0,
    seed: int = 0,
) -> Noised:
    """Heads denoised one by one in a run with Gaussian noise on one embedding of each prompt.

    positions: where the noise goes, one for each prompt. size: its standard deviation, in those of
    the embedding matrix.
    """
    require_at_words(model, tokens, positions)
    require_read_at_words(model, tokens, metric)
    stages, rows = stages_of(model, tokens), torch.arange(len(tokens))
    clean = stages.run(tokens, keep=("resid_pre", "z"))
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(clean.resid_pre[0][:, 0].shape, generator=draw)
    noise = size * model.W_E.std() * noise

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        if (name, layer) == ("resid_pre", 0):
            value = value.clone()
            value[rows, positions] += noise
        return value

    noised = stages.run(tokens, edit, keep=("resid_pre", "k", "v", "z"))
    first = int(torch.where(positions < 0, positions + tokens.shape[1], positions).min())
    patched = replace_heads(stages, noised, clean.z, metric, heads, first=first)
    there = model.W_E[tokens[rows, positions]]
    near, off = (_nearest(x, model.W_E) for x in (there, there + noise))
    corrupted = float(metric(stages.logits(noised.resid_final)))
    return Noised(near, off, corrupted, torch.stack([patched[head] for head in heads]))


def _nearest(x: Float[Tensor, "n d_model"], W_E: Tensor, at_least: float = 1e-3) -> float:
    """Mean distance to the closest token that a vector is not itself."""
    distances = torch.cdist(x, W_E)
    return distances.masked_fill(distances < at_least, torch.inf).amin(-1).mean().item()
