"""Right answers to `two_back`, written in other ways than the reference."""

from collections import namedtuple

import torch

from circuits_course.circuits import HeadWeights


def two_back_by_sums(basis):
    n_ctx, d_vocab = basis.n_ctx, basis.d_vocab
    W_Q, W_K = torch.zeros(2, basis.d_model, n_ctx)
    for place in range(1, n_ctx):
        W_Q[:, place] = 60 * basis.position[place]
        W_K[:, place] = basis.position[place - 1]
    first = [torch.zeros(basis.d_model, d_vocab), torch.zeros(d_vocab, basis.d_model)]
    second = [torch.zeros(basis.d_model, d_vocab), torch.zeros(d_vocab, basis.d_model)]
    for symbol in range(d_vocab):
        first[0][:, symbol], first[1][symbol] = basis.token[symbol], basis.previous[symbol]
        second[0][:, symbol], second[1][symbol] = basis.previous[symbol], 5 * basis.out[symbol]
    return HeadWeights(W_Q, W_K, *first), HeadWeights(W_Q, W_K, *second)


def two_back_with_other_signs(basis):
    W_Q = 50.0 * basis.position.T
    W_K = basis.position.T.roll(1, dims=1)
    head = namedtuple("head", "W_Q W_K W_V W_O")
    return [
        head(W_Q, W_K, -basis.token.T, basis.previous),
        head(W_Q, W_K, basis.previous.T, -8.0 * basis.out),
    ]


def two_back_through_out_of_another_size(basis):
    """The symbol travels along the `out` directions, read back before it grows large."""
    W_Q = 50.0 * basis.position.T
    W_K = basis.position.T.roll(1, dims=1)
    first = HeadWeights(W_Q, W_K, basis.token.T, 0.1 * basis.out)
    return first, HeadWeights(W_Q, W_K, basis.out.T, 100.0 * basis.out)


RIGHT = [two_back_by_sums, two_back_with_other_signs, two_back_through_out_of_another_size]
