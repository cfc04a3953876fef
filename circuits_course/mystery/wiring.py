"""Heads written in named directions: where they look, what they move.

Attention scores are sums of terms; a `Look` is one term: what the query has along some directions,
times what the key has along others, times a strength. The scores of a head are the sum of its looks
(scaled as the model scales them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from circuits_course.circuits.basis import Basis, HeadWeights


class Look(NamedTuple):
    """One term of a head's scores: strength * sum over i of (query . asks_i) (key . answers_i)."""

    asks: Float[Tensor, "rank d_model"]
    answers: Float[Tensor, "rank d_model"]
    strength: float


class Moves(NamedTuple):
    """What a head reads at the source and what it writes for it, row by row."""

    reads: Float[Tensor, "rank d_model"]
    writes: Float[Tensor, "rank d_model"]


def always(basis: Basis) -> Float[Tensor, "1 d_model"]:
    """The direction along which every symbol is 1."""
    return basis.direction("one")[None]


def symbols_of(basis: Basis, group: str) -> Float[Tensor, "symbol d_model"]:
    """The directions of a group, BOS excepted."""
    return basis.group(group)[1:]


def kind_of(basis: Basis, group: str, members: Sequence[int]) -> Float[Tensor, "1 d_model"]:
    """One direction along which each of these symbols is 1."""
    return basis.group(group)[list(members)].sum(0, keepdim=True)


# --- where to look ----------------------------------------------------------------------------


def rest(basis: Basis, strength: float) -> Look:
    """At BOS, for want of anything that scores more than `strength`."""
    return Look(always(basis), basis.token[:1], strength)


def back(basis: Basis, offset: int, strength: float) -> Look:
    """At the position `offset` before the query."""
    places = basis.position[1:]
    return Look(places[offset:], places[:-offset], strength)


def itself(basis: Basis, strength: float) -> Look:
    """At the query's own position."""
    return Look(basis.position[1:], basis.position[1:], strength)


def at_position(basis: Basis, position: int, strength: float) -> Look:
    return Look(always(basis), basis.position[position][None], strength)


def matching(basis: Basis, asks: str, answers: str, strength: float) -> Look:
    """Where the key has the same symbol in group `answers` as the query in group `asks`."""
    return Look(symbols_of(basis, asks), symbols_of(basis, answers), strength)


def of_kind(basis: Basis, members: Sequence[int], strength: float) -> Look:
    """At symbols of a kind."""
    return Look(always(basis), kind_of(basis, "token", members), strength)


# --- putting it together ----------------------------------------------------------------------


def head_weights(
    looks: Sequence[Look], moves: Moves, d_head: int, generator: torch.Generator
) -> HeadWeights:
    """The four matrices, their inner dimensions turned at random and the norms shared evenly."""
    W_Q, W_K = _factors(
        torch.cat([look.asks * abs(look.strength) ** 0.5 for look in looks]),
        torch.cat([_signed_root(look.strength) * look.answers for look in looks]),
        d_head,
        generator,
    )
    size = (moves.writes.norm() / moves.reads.norm().clamp_min(1e-9)).sqrt().clamp_min(1e-9)
    W_V, W_O = _factors(size * moves.reads, moves.writes / size, d_head, generator)
    root = d_head**0.25  # undoes the model's division by sqrt(d_head), half on either side
    return HeadWeights(root * W_Q, root * W_K, W_V, W_O.T)


def _signed_root(strength: float) -> float:
    return (1 if strength >= 0 else -1) * abs(strength) ** 0.5


def _factors(
    left: Float[Tensor, "rank d_model"],
    right: Float[Tensor, "rank d_model"],
    d_head: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "d_model d_head"], Float[Tensor, "d_model d_head"]]:
    """Two matrices with left.T @ right as their product, however it is spread over d_head."""
    turn = random_rotation(d_head, generator)
    unused = d_head - len(left)
    return tuple(pad(part.T, (0, unused)) @ turn for part in (left, right))  # type: ignore


def random_rotation(size: int, generator: torch.Generator) -> Float[Tensor, "size size"]:
    square = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(square).Q.float()
