"""Right answers to `duplicate`, written in other ways than the reference."""

import math

import torch

from circuits_course.circuits import HeadWeights

from .shared import turned


def duplicate_strictly_earlier(basis):
    """By position: scores of matches, minus a large penalty on the diagonal; V from symbols."""
    one = basis.direction("one")[:, None]
    W_Q = torch.cat([60 * basis.token.T, -500 * basis.position.T, 30 * one], 1)
    W_K = torch.cat([basis.token.T, basis.position.T, basis.token[:1].T], 1)
    W_V = basis.token[1:].T
    W_O = basis.direction("result").expand(basis.d_vocab - 1, -1)
    return turned(HeadWeights(W_Q * math.sqrt(W_Q.shape[1]) / 3, W_K, W_V, W_O), seed=5)


def duplicate_through_one_matrix(basis):
    """W_QK written as one matrix; W_K is the identity."""
    symbols = basis.token[1:]
    W_QK = 2 * symbols.T @ symbols - 2 * basis.position.T @ basis.position
    W_QK += torch.outer(basis.direction("one"), basis.token[0])
    W_Q = 15 * math.sqrt(basis.d_model) * W_QK
    W_V = symbols.sum(0)[:, None]
    return HeadWeights(W_Q, torch.eye(basis.d_model), W_V, basis.direction("result")[None])


RIGHT = [duplicate_strictly_earlier, duplicate_through_one_matrix]
