"""Right answers to chapter 02, written in other ways than the reference."""

import math

import numpy as np
import torch
from einops import einsum

from circuits_course.circuits import HeadWeights


def turned(head, seed=0):
    """The same head with its inner dimensions rotated: no entry stays, the behaviour does."""

    def rotation(size):
        generator = torch.Generator().manual_seed(seed)
        return torch.linalg.qr(torch.randn(size, size, generator=generator)).Q

    inner, outer = rotation(head.W_Q.shape[1]), rotation(head.W_V.shape[1])
    return HeadWeights(head.W_Q @ inner, head.W_K @ inner, head.W_V @ outer, outer.T @ head.W_O)


# --- read_feature -----------------------------------------------------------------------------


def read_by_einsum(resid, direction):
    return einsum(resid, direction, "batch pos d_model, d_model -> batch pos")


def read_by_sum(resid, direction):
    return (resid.double() * direction).sum(-1)


def read_by_loop(resid, direction):
    rows = [[float(torch.dot(vector, direction)) for vector in row] for row in resid]
    return torch.tensor(rows)


# --- sharpness --------------------------------------------------------------------------------


def sharpness_of_odds(n_keys, share):
    return float(np.log(share) - np.log1p(-share) + np.log(n_keys - 1))


def sharpness_as_tensor(n_keys, share):
    return torch.logit(torch.tensor(share)) + math.log(n_keys - 1)


# --- route ------------------------------------------------------------------------------------


def route_by_key(basis, offset):
    """The shift in the keys, everything else in one matrix product."""
    n = basis.n_ctx
    shift = torch.diag_embed(torch.ones(n - offset), offset)  # key k answers query k + offset
    W_K = basis.position.T @ shift
    return turned(HeadWeights(200 * basis.position.T, W_K, 5 * basis.token.T, basis.out))


def route_padded(basis, offset):
    """Wider than it needs to be, in double precision, as a plain tuple; rests on BOS."""
    d_head = basis.n_ctx + 3
    W_Q, W_K = (torch.zeros(basis.d_model, d_head, dtype=torch.float64) for _ in range(2))
    for q in range(basis.n_ctx):
        W_Q[:, max(q - offset, 0)] += 100 * basis.position[q]
        W_K[:, q] = basis.position[q]
    W_V = torch.zeros(basis.d_model, d_head, dtype=torch.float64)
    W_V[:, : basis.d_vocab] = basis.token.T if d_head >= basis.d_vocab else 0
    W_O = torch.zeros(d_head, basis.d_model, dtype=torch.float64)
    W_O[: basis.d_vocab] = basis.out
    return W_Q, W_K, W_V, W_O


def route_without_bos(basis, offset):
    """Does not copy BOS; the values are split over two dimensions a symbol."""
    head = route_by_key(basis, offset)
    token = basis.token[1:].T
    return head._replace(W_V=torch.cat([token, token], 1), W_O=basis.out[1:].repeat(2, 1) / 7)


# --- lookup -----------------------------------------------------------------------------------


def lookup_by_symbol(basis, table):
    """Attends to every copy of the symbol: all of them are looked up alike."""
    W_Q = 100 * basis.token.T
    W_O = torch.stack([basis.out[int(t)] for t in table])
    return HeadWeights(W_Q, basis.token.T, basis.token.T, W_O)


def lookup_in_the_values(basis, table):
    """The table in W_V, W_O straight."""
    chosen = torch.nn.functional.one_hot(table, basis.d_vocab).float()
    W_V = basis.token.T @ chosen
    head = HeadWeights(150 * basis.position.T, basis.position.T, W_V, 3 * basis.out)
    return turned(head, seed=4)


# --- aggregate --------------------------------------------------------------------------------


def aggregate_by_lifting(basis, feature):
    """Lifts the symbols above BOS instead of pushing BOS down."""
    W_K = basis.token[1:].sum(0)[:, None]
    W_Q = 20 * basis.direction("one")[:, None]
    W_V = 2 * basis.direction(feature)[:, None]
    return HeadWeights(W_Q, W_K, W_V, 0.5 * basis.direction("result")[None])


def aggregate_from_symbols(basis, feature):
    """Reads the values symbol by symbol."""
    W_Q = basis.token.sum(0)[:, None].repeat(1, 3)
    W_K = -10 * basis.direction("token BOS")[:, None].repeat(1, 3)
    values = torch.tensor([basis.features[feature].get(s, 0.0) for s in basis.vocabulary])
    W_O = values[:, None] * basis.direction("result")
    return HeadWeights(W_Q, W_K, basis.token.T, W_O)


# --- select -----------------------------------------------------------------------------------


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


# --- duplicate --------------------------------------------------------------------------------


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


# --- induction_circuit ------------------------------------------------------------------------


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


# --- match_matrix -----------------------------------------------------------------------------


def match_by_circuits(W_E, first, second):
    W_QK = second.W_Q @ second.W_K.T
    W_OV = first.W_V @ first.W_O
    return W_E @ W_QK @ (W_E @ W_OV).T / math.sqrt(second.W_K.shape[-1])


def match_by_einsum(W_E, first, second):
    W_E = W_E.double()
    query = torch.einsum("am,mh->ah", W_E, second[0].double())
    fetched = torch.einsum("bm,mi,in->bn", W_E, first[2].double(), first[3].double())
    key = torch.einsum("bn,nh->bh", fetched, second[1].double())
    return torch.einsum("ah,bh->ab", query, key) * query.shape[-1] ** -0.5


RIGHT = {
    "read_feature": [read_by_einsum, read_by_sum, read_by_loop],
    "sharpness": [sharpness_of_odds, sharpness_as_tensor],
    "route": [route_by_key, route_padded, route_without_bos],
    "lookup": [lookup_by_symbol, lookup_in_the_values],
    "aggregate": [aggregate_by_lifting, aggregate_from_symbols],
    "select": [select_by_symbols, select_latest],
    "duplicate": [duplicate_strictly_earlier, duplicate_through_one_matrix],
    "induction_circuit": [induction_through_features, induction_through_result],
    "match_matrix": [match_by_circuits, match_by_einsum],
}
