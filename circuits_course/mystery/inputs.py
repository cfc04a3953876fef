"""The sequences that mystery models are made for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.markov import BOS_TOKEN


@dataclass(frozen=True)
class FreeSymbols:
    """BOS, then uniformly random symbols, `n_ctx` tokens in all."""

    d_vocab: int
    n_ctx: int

    def sample(self, batch: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        symbols = torch.randint(1, self.d_vocab, (batch, self.n_ctx - 1), generator=generator)
        return torch.cat([torch.full((batch, 1), BOS_TOKEN), symbols], dim=1)


@dataclass(frozen=True)
class TwoNames:
    """Two names, one of them twice, scattered among fillers; a question mark of a token last."""

    names: tuple[int, ...]
    fillers: tuple[int, ...]
    question: int
    n_ctx: int

    def sample(self, batch: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        n_between = self.n_ctx - 2
        fillers = torch.tensor(self.fillers)
        drawn = torch.randint(len(fillers), (batch, n_between), generator=generator)
        tokens = fillers[drawn]
        place = torch.rand(batch, n_between, generator=generator).argsort(-1)[:, :3]
        first, second = place[:, :2].sort(-1).values.unbind(-1)
        which = torch.rand(batch, len(self.names), generator=generator).argsort(-1)[:, :2]
        once, twice = torch.tensor(self.names)[which].unbind(-1)
        rows = torch.arange(batch)
        tokens[rows, place[:, 2]] = once
        tokens[rows, first], tokens[rows, second] = twice, twice
        ends = torch.full((batch, 1), BOS_TOKEN), torch.full((batch, 1), self.question)
        return torch.cat([ends[0], tokens, ends[1]], dim=1)


MysteryInputs = FreeSymbols | TwoNames
KINDS = {kind.__name__: kind for kind in (FreeSymbols, TwoNames)}
