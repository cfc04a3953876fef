"""Small inputs that the cases of many exercises need: random models, tokens and numbers."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

# Standard deviations that make attention uneven and every head's output count.
_SPREAD = {"W_E": 1.0, "W_pos": 1.0, "W_Q": 0.35, "W_K": 0.35, "W_V": 0.3, "W_O": 0.4, "W_U": 0.3}


@cache
def random_model(
    n_layers: int = 3,
    n_heads: int = 4,
    seed: int = 0,
    *,
    d_model: int = 20,
    d_head: int = 6,
    d_vocab: int = 30,
    n_ctx: int = 16,
) -> CourseTransformer:
    """A random attention-only model whose heads attend unevenly and differ visibly.

    No two of its sizes are equal unless asked for, so that an exchanged axis shows.
    """
    cfg = CourseConfig(
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_head,
        d_vocab=d_vocab,
        n_ctx=n_ctx,
        seed=seed,
    )
    model = CourseTransformer(cfg)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(_SPREAD[name.rsplit(".", 1)[-1]] / weight.std())
    return model.requires_grad_(False)


def random_tokens(batch: int, pos: int, d_vocab: int = 30, seed: int = 0) -> Tensor:
    """Token ids [batch, pos], BOS (0) not among them."""
    return torch.randint(1, d_vocab, (batch, pos), generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of the given shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@cache
def matching_model(
    heads: tuple[tuple[tuple[str, float], ...], ...],
    *,
    d_vocab: int = 250,
    d_model: int = 32,
    n_ctx: int = 110,
) -> CourseTransformer:
    """A model made by hand whose heads look for the current token among the earlier ones.

    heads[layer][head] is (kind, strength): "induction" heads look at tokens that stand after an
    earlier copy (their keys are those of the token before), "duplicate" heads at the copies
    themselves, each with `strength` as the score of a match against about 0 for all else; "even"
    heads attend evenly. Induction heads of the last layer write what they attend to, so that strong
    ones copy. Tokens are random directions of length 1, and positions play no part.
    """
    cfg = CourseConfig(
        n_layers=len(heads),
        n_heads=len(heads[0]),
        d_model=d_model,
        d_head=d_model,
        d_vocab=d_vocab,
        n_ctx=n_ctx,
        smeared_keys=True,
    )
    model = CourseTransformer.blank(cfg)
    same, blocks = torch.eye(d_model), cast(Any, model.blocks)
    with torch.no_grad():
        model.embed.W_E.copy_(nn.functional.normalize(normal(d_vocab, d_model), dim=-1))
        model.unembed.W_U.copy_(model.W_E.T)
        for block, row in zip(blocks, heads, strict=True):
            for head, (kind, strength) in enumerate(row):
                block.attn.W_Q[head] = 0.0 if kind == "even" else strength * same
                block.attn.W_K[head] = cfg.attn_scale * same
                block.attn.alpha[head] = -40.0 if kind == "induction" else 40.0
        last = blocks[-1].attn
        for head, (kind, _) in enumerate(heads[-1]):
            if kind == "induction":
                last.W_V[head] = same
                last.W_O[head] = 2.0 * same
    return model.requires_grad_(False)
