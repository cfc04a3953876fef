"""Right answers to `select`, written in other ways than the reference."""

import torch

from circuits_course.circuits import HeadWeights

from .shared import turned


def select_by_symbols(basis, feature):
    """Names the symbols; pushes the others down below BOS instead of lifting."""
    on = torch.tensor([basis.features[feature].get(s, 0.0) for s in basis.vocabulary])
    level = 30 * on - 15 * (1 - on)
    level[0] = 10.0
    W_K = basis.token.T @ level[:, None]
    return HeadWeights(basis.direction("one")[:, None], W_K, 2 * basis.token.T, basis.out)


def select_latest(basis, feature):
    """The latest position where the feature is on: later keys score a little higher."""
    later = torch.arange(basis.n_ctx) * 8.0
    high = 8.0 * basis.n_ctx
    key = 4 * high * basis.direction(feature) + 2 * high * basis.token[0]
    W_K = (key + later @ basis.position)[:, None]
    W_Q = basis.direction("one")[:, None]
    return turned(HeadWeights(W_Q, W_K, basis.token.T, basis.out), seed=2)


RIGHT = [select_by_symbols, select_latest]
