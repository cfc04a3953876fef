"""Steering: a vector added to the residual stream, at every position, from one layer on.

With a difference of means as the vector (what prompts of one kind have more of than prompts of
another) it is the simplest way to push a model: Turner et al. 2023 (arXiv 2308.10248), Rimsky et
al. 2023 (arXiv 2312.06681).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.padding import require_one_length
from circuits_course.circuits.patching.stages import stages_of
from circuits_course.circuits.patching.tail import Tail


@torch.no_grad()
def steered(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    layer: int,
    vectors: Float[Tensor, "vector d_model"],
) -> Float[Tensor, "vector batch d_vocab"]:
    """Logits after the last token when a vector is added to what a layer and all above it read.

    vectors: each of them is tried alone. Raises CourseError for prompts of different lengths.
    """
    require_one_length(model, tokens)
    stages = stages_of(model, tokens)
    base = stages.run(tokens, keep=("resid_pre", "k", "v"))
    tail, found = Tail(stages, base, torch.mean), []
    for part in vectors.split(tail.runs_at_once()):
        resid = base.resid_pre[layer] + part[:, None, None]
        for above in range(layer, stages.n_layers):
            resid = tail.through(above, resid)
        found.append(stages.logits(resid[:, :, -1]))
    return torch.cat(found)


def random_directions(
    like: Float[Tensor, " d_model"], count: int = 20, seed: int = 0
) -> Float[Tensor, "direction d_model"]:
    """Directions drawn at random, as long as `like`: what a steering vector has to beat."""
    draw = torch.randn(count, len(like), generator=torch.Generator().manual_seed(seed))
    return draw / draw.norm(dim=1, keepdim=True) * like.norm()
