"""What heads of very different models are compared by: relative depth, scores, ablations."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.padding import real_positions


class Place(NamedTuple):
    """The strongest head of one behaviour: depth from 0 (first layer) to 1 (last), and score."""

    depth: float
    score: float


def behaviour_scores(
    model: Any, tokens: Int[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "layer head"]]:
    """Every head's score as a previous-token and as an induction head, by chapter 09's ruler.

    The score is the attention to all keys that a head of that kind looks at, key 0 (BOS) excepted,
    averaged over the queries that have such a key; padding asks nothing.
    """
    same = tokens[:, :, None] == tokens[:, None, :]
    after_same = torch.zeros_like(same)
    after_same[:, :, 2:] = same[:, :, 1:-1]
    back_one = torch.ones_like(same).tril(-1) & ~torch.ones_like(same).tril(-2)
    back_one[:, :, 0] = False
    words = real_positions(model, tokens)[:, :, None]
    masks = {"previous token": back_one & words, "induction": after_same.tril() & words}
    scores = {kind: torch.zeros(model.cfg.n_layers, model.cfg.n_heads) for kind in masks}

    def score(pattern: Float[Tensor, "batch head q k"], hook: Any) -> None:
        for kind, mask in masks.items():
            on_target = (pattern * mask[:, None]).sum(-1).transpose(1, 2)  # [batch, q, head]
            scores[kind][hook.layer()] = on_target[mask.any(-1)].mean(0)

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    model.run_with_hooks(tokens, return_type=None, fwd_hooks=[(name, score) for name in names])
    return scores
