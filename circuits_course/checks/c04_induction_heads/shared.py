"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

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


def patterns_of_cases(model: Any, tokens: Tensor) -> list[Tensor]:
    """Attention of every layer, [batch, head, q, k] each."""
    kept: dict[str, Tensor] = {}
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    hooks = [(name, lambda pattern, hook: kept.update({hook.name: pattern})) for name in names]
    model.run_with_hooks(tokens, fwd_hooks=hooks)
    return [kept[name] for name in names]
