"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checks.inputs import normal
from circuits_course.circuits.composition import HeadCircuits
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

Path = tuple[tuple[int, int], ...]


def normal_head(d_model: int, d_head: int, seed: int) -> HeadCircuits:
    W_Q, W_K, W_V = normal(3, d_model, d_head, seed=seed)
    return HeadCircuits(W_Q, W_K, W_V, normal(d_head, d_model, seed=seed + 100))


def axis_head(query: int, key: int, value: int, output: int, d_model: int = 4) -> HeadCircuits:
    """A head of one dimension that reads and writes along single axes."""
    unit = torch.eye(d_model)
    W_Q, W_K, W_V = (unit[i][:, None] for i in (query, key, value))
    return HeadCircuits(W_Q, W_K, W_V, unit[output][None])


@cache
def loud_model(n_layers: int, n_heads: int, seed: int, d_head: int = 6) -> CourseTransformer:
    """Random weights of a size at which every path and every position leaves a mark."""
    cfg = CourseConfig(
        n_layers=n_layers, n_heads=n_heads, d_model=20, d_head=d_head, d_vocab=30, n_ctx=16
    )
    model = CourseTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(drawn * (2.0 / weight.shape[-2]) ** 0.5)
        model.W_E.copy_(normal(30, 20, seed=seed + 1))
        model.W_pos.copy_(normal(16, 20, seed=seed + 2))
    return model.requires_grad_(False)


def hooked(model: Any, tokens: Tensor, name: str) -> Tensor:
    """One activation of a plain run, without the cache object."""
    seen: list[Tensor] = []
    hook = (name, lambda value, hook: seen.append(value.clone()))
    model.run_with_hooks(tokens, fwd_hooks=[hook])
    return seen[0]
