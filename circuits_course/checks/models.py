"""Small inputs that the cases of many exercises need: random models, tokens and numbers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from circuits_course.transformer import CourseConfig, CourseTransformer


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
        for block in model.blocks:
            block.attn.W_Q.mul_(4.0)
            block.attn.W_K.mul_(4.0)
    return model.requires_grad_(False)


def random_tokens(batch: int, pos: int, d_vocab: int = 30, seed: int = 0) -> Tensor:
    """Token ids [batch, pos], BOS (0) not among them."""
    return torch.randint(1, d_vocab, (batch, pos), generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of the given shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
