"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from circuits_course.checks.inputs import normal
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

Heads = list[tuple[int, int]]


def led(bos: int, *copies: Tensor) -> Tensor:
    return torch.cat([torch.full((len(copies[0]), 1), bos), *copies], dim=1)


def mean_attention(pattern: Tensor, queries: Sequence[int], key: Callable[[int], int]) -> Tensor:
    """Mean over the queries of the attention from q to key(q)."""
    return sum((pattern[..., q, key(q)] for q in queries), torch.tensor(0.0)) / len(queries)


def second_copy(period: int) -> range:
    return range(1 + period, 1 + 2 * period)


FIRST = (
    (("even", 0), ("duplicate", 8), ("induction", 5.5)),
    (("induction", 3.0), ("even", 0), ("duplicate", 4)),
    (("even", 0), ("induction", 2.0), ("even", 0)),
    (("duplicate", 6), ("even", 0), ("induction", 9.0)),
)

SECOND = (
    (("duplicate", 7), ("even", 0), ("even", 0), ("induction", 10.0)),
    (("even", 0), ("induction", 5.5), ("induction", 2.5), ("even", 0)),
)


def patterns_by_layer(model: Any, tokens: Tensor) -> list[Tensor]:
    """Attention of every layer, [batch, head, q, k] each."""
    kept: dict[str, Tensor] = {}
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    hooks = [(name, lambda pattern, hook: kept.update({hook.name: pattern})) for name in names]
    model.run_with_hooks(tokens, fwd_hooks=hooks)
    return [kept[name] for name in names]


@cache
def stepping_model(steps: tuple[int, ...], d_tokens: int = 32, n_ctx: int = 110) -> Any:
    """One layer: a head that looks `step` tokens back for each step, and one induction head.

    The first n_ctx numbers of queries and keys hold the position, the others the token.
    """
    d_model, n_heads = n_ctx + d_tokens, len(steps) + 1
    cfg = CourseConfig(
        n_layers=1, n_heads=n_heads, d_model=d_model, d_head=d_model, d_vocab=250, n_ctx=n_ctx,
        smeared_keys=True,
    )  # fmt: skip
    model = CourseTransformer.blank(cfg)
    attn, place, token = cast(Any, model.blocks)[0].attn, slice(0, n_ctx), slice(n_ctx, None)
    with torch.no_grad():
        model.embed.W_E[:, token] = nn.functional.normalize(normal(250, d_tokens), dim=-1)
        model.pos_embed.W_pos[:, place] = torch.eye(n_ctx)
        model.unembed.W_U.copy_(model.W_E.T)
        for head, step in enumerate(steps):
            attn.W_Q[head, place, place] = torch.eye(n_ctx)
            ahead = torch.eye(n_ctx).roll(step, dims=1)  # a key says where it will be looked for
            attn.W_K[head, place, place] = 12.0 * cfg.attn_scale * ahead
            attn.alpha[head] = 40.0
        attn.W_Q[-1, token, token] = 9.0 * torch.eye(d_tokens)
        attn.W_K[-1, token, token] = cfg.attn_scale * torch.eye(d_tokens)
        attn.alpha[-1] = -40.0
    return model.requires_grad_(False)
