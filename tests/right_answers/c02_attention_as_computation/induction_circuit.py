"""Right answers to `induction_circuit`, written in other ways than the reference."""

import math

import torch

from circuits_course.circuits import HeadWeights

from .shared import route_by_key


def induction_through_features(basis):
    """Keys read `previous` through one matrix; the pair is a list, turned and scaled."""
    first = route_by_key(basis, 1)._replace(W_V=basis.token.T, W_O=3 * basis.previous)
    W_QK = basis.token.T @ basis.previous
    W_QK += 1.5 * torch.outer(basis.direction("one"), basis.token[0])
    W_Q = 10 * math.sqrt(basis.d_model) * W_QK
    second = HeadWeights(W_Q, torch.eye(basis.d_model), basis.token.T, 15 * basis.out)
    return [first, second]


def induction_through_result(basis):
    """Layer 0 writes what it finds into `out` turned negative as well as nowhere else: the keys
    read it from there, and the small push down it gives to the logits is not worth speaking of."""
    small = 0.01
    first = route_by_key(basis, 1)._replace(W_V=basis.token.T, W_O=-small * basis.out)
    one, bos = basis.direction("one")[:, None], basis.token[:1].T
    W_Q = torch.cat([basis.token.T, 0.5 * one], 1)
    W_K = torch.cat([-basis.out.T / small, bos], 1)
    W_Q = 20 * math.sqrt(W_Q.shape[1]) * W_Q
    return first, HeadWeights(W_Q, W_K, basis.token.T, 12 * basis.out)


RIGHT = [induction_through_features, induction_through_result]
