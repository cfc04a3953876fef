"""Reference answers of chapter 02, Attention as computation."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits import Basis, HeadWeights


def read_feature(
    resid: Float[Tensor, "batch pos d_model"], direction: Float[Tensor, " d_model"]
) -> Float[Tensor, "batch pos"]:
    """How much of a direction of length 1 is in each vector of the residual stream."""
    # BEGIN BLANK
    amount = resid @ direction
    # END BLANK
    return amount


def sharpness(n_keys: int, share: float) -> float:
    """The score a key needs, all other keys scoring 0, to get this share of the attention.

    n_keys: how many keys there are, that one included. share: between 0 and 1, both excluded.
    """
    return math.log(share / (1 - share) * (n_keys - 1))


def route(basis: Basis, offset: int) -> HeadWeights:
    """A head that attends `offset` positions back and copies the symbol there into `out`.

    At least 0.9 of the attention, from every position that has something so far back. offset 0 is
    the position itself.
    """
    d_head = basis.n_ctx  # one dimension for each position that can be looked at
    W_K = basis.position.T  # a key at position k lights up dimension k
    W_Q = torch.zeros(basis.d_model, d_head)
    for q in range(offset, basis.n_ctx):
        # BEGIN BLANK
        W_Q[:, q - offset] = basis.position[q]
        # END BLANK
    scale = sharpness(basis.n_ctx, 0.99) * math.sqrt(d_head)
    return HeadWeights(scale * W_Q, W_K, W_V=basis.token.T, W_O=basis.out)


def lookup(basis: Basis, table: Int[Tensor, " d_vocab"]) -> HeadWeights:
    """A head that writes, at every position, the symbol that a table holds for the one there.

    table: table[t] is the symbol to write into `out` where symbol t stands; table[0] is 0, BOS.
    """
    here = route(basis, 0)
    # BEGIN BLANK
    W_O = basis.out[table]
    # END BLANK
    return here._replace(W_O=W_O)


def aggregate(basis: Basis, feature: str) -> HeadWeights:
    """A head that writes the running mean of a feature into `result`.

    At position p: the mean over positions 1 to p, each counting the same. BOS does not count. To
    within 0.02; nothing is written along any other direction.
    """
    gap = sharpness(basis.n_ctx, 0.999)
    # BEGIN BLANK
    W_Q = -gap * basis.direction("one")[:, None]
    W_K = basis.token[0][:, None]
    # END BLANK
    W_V = basis.direction(feature)[:, None]
    W_O = basis.direction("result")[None, :]
    return HeadWeights(W_Q, W_K, W_V, W_O)


def select(basis: Basis, feature: str) -> HeadWeights:
    """A head that attends only where a feature is on, and copies the symbols there into `out`.

    feature: one that is 0 or 1 on every symbol. At least 0.9 of the attention lies on positions so
    far, the query's own included, where it is 1. Where there is none, as much rests on BOS.
    """
    gap = sharpness(basis.n_ctx, 0.99)
    W_Q = basis.direction("one")[:, None]
    W_K = (2 * gap * basis.direction(feature) + gap * basis.token[0])[:, None]
    return HeadWeights(W_Q, W_K, W_V=basis.token.T, W_O=basis.out)


def duplicate(basis: Basis) -> HeadWeights:
    """A head that writes 1 into `result` where the symbol stood before, and 0 where it is new.

    At least 0.9 of the attention lies on earlier copies of the query's symbol, not on the query's
    own position. Where there is none, as much rests on BOS. `result` is right to within 0.1.
    """
    gap = sharpness(basis.n_ctx, 0.99)
    one, bos = basis.direction("one")[:, None], basis.token[0][:, None]
    same_symbol, same_place, rest = basis.token.T, basis.position.T, bos
    W_K = torch.cat([same_symbol, same_place, rest], dim=1)
    W_Q = torch.cat([2 * gap * same_symbol, -2 * gap * same_place, gap * one], dim=1)
    W_V = one - bos
    W_O = basis.direction("result")[None, :]
    return HeadWeights(math.sqrt(W_Q.shape[1]) * W_Q, W_K, W_V, W_O)


def induction_circuit(basis: Basis) -> tuple[HeadWeights, HeadWeights]:
    """Two heads, for layers 0 and 1, that predict what followed the symbol the last time.

    Layer 1 puts at least 0.9 of its attention on the positions that follow an earlier copy of the
    query's symbol, and predicts the symbol there with a probability of at least 0.9. Where there is
    no earlier copy, it rests on BOS with 0.9 and no prediction gets more than 0.3.
    """
    first = route(basis, 1)._replace(W_O=basis.previous)
    gap = sharpness(basis.n_ctx, 0.99)
    one, bos = basis.direction("one")[:, None], basis.token[0][:, None]
    W_Q = torch.cat([2 * gap * basis.token.T, gap * one], dim=1)
    W_K = torch.cat([basis.previous.T, bos], dim=1)
    confidence = sharpness(basis.d_vocab, 0.99)
    scaled = math.sqrt(W_Q.shape[1]) * W_Q
    return first, HeadWeights(scaled, W_K, W_V=basis.token.T, W_O=confidence * basis.out)


def match_matrix(
    W_E: Float[Tensor, "d_vocab d_model"], first: HeadWeights, second: HeadWeights
) -> Float[Tensor, "d_vocab d_vocab"]:
    """How well each symbol at the query matches each symbol that the first head fetched to the key.

    Entry [a, b]: what the second head's score, scaled by sqrt(d_head), gains where symbol a stands
    at the query and the first head has fetched symbol b to the key. Positions play no part.
    """
    query = W_E @ second.W_Q
    key = W_E @ first.W_V @ first.W_O @ second.W_K
    return query @ key.T / math.sqrt(second.W_Q.shape[1])
