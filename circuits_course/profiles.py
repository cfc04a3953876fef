"""What heads of very different models are compared by: the same sequences, and relative depth."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.heads import bos_token, longest_period


class Place(NamedTuple):
    """The strongest head of one behaviour: depth from 0 (first layer) to 1 (last), and score."""

    depth: float
    score: float


def repeats_for(
    model: Any, period: int = 20, batch: int = 4, seed: int = 0
) -> Int[Tensor, "batch pos"]:
    """[BOS, copy, copy] of random tokens of the model's own vocabulary; shorter where need be."""
    period = longest_period(model, period)
    generator = torch.Generator().manual_seed(seed)
    bos = bos_token(model)
    copy = torch.randint(0, model.cfg.d_vocab - 1, (batch, period), generator=generator)
    copy = copy + (copy >= bos)
    return torch.cat([torch.full((batch, 1), bos), copy, copy], dim=1)


def text_tokens(model: Any, text: str, batch: int, length: int) -> Int[Tensor, "batch pos"]:
    """`batch` stretches of a text, BOS first, `length` tokens each with it."""
    tokens = model.to_tokens(text, prepend_bos=False)[0]
    stretches = tokens[: batch * (length - 1)].view(batch, length - 1)
    return torch.cat([torch.full((batch, 1), bos_token(model)), stretches], dim=1)
