"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from circuits_course.checks.inputs import normal, random_tokens
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

Head = tuple[int, int]


def random_pattern(*shape: int, seed: int = 0) -> Tensor:
    """Causal attention probabilities [*shape, q, k] that differ from head to head."""
    scores = 2 * normal(*shape, seed=seed)
    future = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def looks_back(offset: int, pos: int) -> Tensor:
    """The pattern [q, k] of a head that looks `offset` tokens back, at BOS where there is none."""
    keys = (torch.arange(pos) - offset).clamp_min(0)
    return torch.nn.functional.one_hot(keys, pos).float()


@cache
def routing_model(heads: tuple[tuple[tuple[int, float], ...], ...]) -> CourseTransformer:
    """A model made by hand: heads[layer][head] = (offset, score of the key that far back)."""
    pos = 12
    cfg = CourseConfig(len(heads), len(heads[0]), d_model=pos, d_head=pos, d_vocab=30, n_ctx=pos)
    model = CourseTransformer.blank(cfg)
    with torch.no_grad():
        model.W_pos.copy_(torch.eye(pos))
    for layer, row in enumerate(heads):
        for head, (offset, score) in enumerate(row):
            shifted = torch.eye(pos).roll(offset, dims=1).triu(offset)
            model.set_head(layer, head, W_Q=score * pos**0.5 * torch.eye(pos), W_K=shifted)
    return model.requires_grad_(False)


def repeated(batch: int, period: int, seed: int = 0, d_vocab: int = 30) -> Tensor:
    copy = random_tokens(batch, period, d_vocab, seed)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int64), copy, copy], dim=1)


def text(batch: int, pos: int, seed: int = 0) -> Tensor:
    """Rows that do not repeat, though some tokens happen to stand in both halves."""
    tokens = random_tokens(batch, pos, 30, seed)
    tokens[:, 0] = 0
    n = (pos - 1) // 2
    tokens[:, 1 + n] = tokens[:, 1]
    tokens[:, -1] = (tokens[:, n] + 1) % 29 + 1
    return tokens
