"""What several exercises of the chapter are checked with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checks.behaviour import (
    run,
)
from circuits_course.circuits.basis import Basis, HeadWeights

BEHAVIOUR = Tolerance(atol=0.06, rtol=0.0)  # two heads that agree to this do the same

GAP = 12.0  # a score that leaves nothing for anybody else


def position_head(basis: Basis, back: int, scale: float = 1.0) -> HeadWeights:
    """Looks `back` positions back and copies: the ground that many wrong answers stand on."""
    W_K = basis.position.T
    W_Q = torch.zeros_like(W_K)
    for q in range(max(back, 0), basis.n_ctx + min(back, 0)):
        W_Q[:, q - back] = basis.position[q]
    sharp = scale * GAP * math.sqrt(basis.n_ctx)
    return HeadWeights(sharp * W_Q, W_K, basis.token.T, basis.out)


def single(vector: Tensor) -> Tensor:
    """A direction as a matrix [d_model, 1]: a head with d_head 1 reads it."""
    return vector[:, None]


def feature_values(basis: Basis, feature: str, tokens: Tensor) -> Tensor:
    of_symbol = basis.features[feature]
    rows = [[of_symbol.get(basis.vocabulary[t], 0.0) for t in row] for row in tokens.tolist()]
    return torch.tensor(rows)


def written_result(head: HeadWeights, basis: Basis) -> Tensor:
    return run(basis, head).writes[0][:, 1:] @ basis.direction("result")


def writes_previous(basis: Basis, back: int = 1) -> HeadWeights:
    return position_head(basis, back)._replace(W_O=basis.previous)
