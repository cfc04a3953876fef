"""Prompts with one match: a symbol comes again, and what followed it the first time is due."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.markov import BOS_TOKEN


class Matches(NamedTuple):
    """clean ends with a symbol that came before; in corrupted it did not. answer: what followed."""

    clean: Int[Tensor, "batch pos"]
    corrupted: Int[Tensor, "batch pos"]
    answer: Int[Tensor, " batch"]


def one_match_prompts(n: int, length: int = 6, d_vocab: int = 64, seed: int = 0) -> Matches:
    """`n` pairs of prompts like "q x b m z t q" and "w x b m z t q".

    BOS, `length` different random symbols, and one of the first `length` - 2 again: pos = length +
    2. Corrupted, another symbol stands where it came first, so that the two prompts differ there
    alone.
    """
    draw = torch.Generator().manual_seed(seed)
    symbols = 1 + torch.rand(n, d_vocab - 1, generator=draw).argsort(-1)[:, : length + 1]
    place = torch.randint(length - 2, (n, 1), generator=draw)
    body, other = symbols[:, :length], symbols[:, length:]
    bos, last = torch.full((n, 1), BOS_TOKEN), body.gather(1, place)
    changed = body.scatter(1, place, other)
    clean, corrupted = (torch.cat([bos, x, last], dim=1) for x in (body, changed))
    return Matches(clean, corrupted, body.gather(1, place + 1)[:, 0])
