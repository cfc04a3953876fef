"""Detectors: whether a head does what a role says.

Attention roles are judged by where attention goes that does not rest on BOS; "backup" by knocking
heads out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.errors import UnknownName

ENOUGH = 0.75  # of the attention off BOS
ACTIVE = 0.02  # of all attention must leave BOS for a head to have a role

Targets = Callable[[Int[Tensor, "batch pos"]], Bool[Tensor, "batch q k"]]


def _past(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
    """Keys that a query can see, itself and BOS included."""
    n_pos = tokens.shape[1]
    return torch.ones(len(tokens), n_pos, n_pos, dtype=torch.bool).tril()


def _same(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
    return tokens[:, :, None] == tokens[:, None, :]


def _back(offset: int) -> Targets:
    def targets(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
        return _past(tokens).tril(-offset) & ~_past(tokens).tril(-offset - 1)

    return targets


def _at(position: int) -> Targets:
    return lambda tokens: _past(tokens) & (torch.arange(tokens.shape[1]) == position)


def _copies(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
    return _same(tokens) & _past(tokens).tril(-1)


def _after_copies(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
    """Key k where token k - 1 is the query's; BOS is nobody's copy."""
    after = torch.zeros_like(_past(tokens))
    after[:, :, 1:] = _same(tokens)[:, :, :-1]
    return after & _past(tokens)


def _seen_before(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
    repeated = _copies(tokens).any(-1)  # [batch, pos]
    return _past(tokens) & repeated[:, None, :]


def _alone(tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch q k"]:
    """Key k whose symbol stands nowhere else up to the query."""
    visible = _past(tokens).float()
    count = visible @ _same(tokens).float()  # [batch, q, k]: copies of token k up to q
    return _past(tokens) & (count == 1)


TARGETS: dict[str, Targets] = {
    "previous token": _back(1),
    "two back": _back(2),
    "first token": _at(1),
    "second token": _at(2),
    "duplicate token": _copies,
    "induction": _after_copies,
    "inhibition": _seen_before,
    "mover": _alone,
}


FOUR = ("previous token", "first token", "duplicate token", "induction")


def role_targets(
    tokens: Int[Tensor, "batch pos"], roles: Sequence[str] = FOUR
) -> dict[str, Bool[Tensor, "batch q k"]]:
    """Where a head of each role looks: True at key k for query q, never at BOS (k = 0) or k > q.

    roles: those of the menu that attention shows (default: the four of chapters 03 to 06); all but
    "counter" and "backup". Raises UnknownName for another one.
    """
    for role in roles:
        if role not in TARGETS:
            raise UnknownName("role that attention shows", role, TARGETS)
    past_bos = torch.arange(tokens.shape[1]) > 0
    return {role: TARGETS[role](tokens) & past_bos for role in roles}


def share_on_targets(
    pattern: Float[Tensor, "batch q k"], targets: Bool[Tensor, "batch q k"]
) -> float:
    """Of the attention that is not on BOS, the share on the targets; 0 for a head that rests."""
    away = pattern[:, 1:, 1:]
    if away.sum() < ACTIVE * away.shape[0] * away.shape[1]:
        return 0.0
    return ((away * targets[:, 1:, 1:]).sum() / away.sum()).item()


def evenness(pattern: Float[Tensor, "batch q k"], tokens: Int[Tensor, "batch pos"]) -> float:
    """How far attention off BOS is shared evenly among all symbols of one kind, from 0 to 1.

    The kind is what the head mostly attends to: symbols that get at least half of what the most
    favoured gets. Queries with fewer than two such keys say nothing.
    """
    away = pattern[:, 1:, 1:]
    if away.sum() < ACTIVE * away.shape[0] * away.shape[1]:
        return 0.0
    past, symbols = _past(tokens)[:, 1:, 1:], tokens[:, 1:]
    received = _mean_received(away, past, symbols)
    of_kind = (received >= received.max() / 2)[symbols]  # [batch, pos]
    even = (past & of_kind[:, None, :]).float()
    several = even.sum(-1) >= 2
    even = even / even.sum(-1, keepdim=True).clamp_min(1)
    share = away / away.sum(-1, keepdim=True).clamp_min(1e-6)
    return torch.minimum(share, even).sum(-1)[several].mean().item()


def _mean_received(away: Tensor, past: Tensor, symbols: Tensor) -> Float[Tensor, " d_vocab"]:
    """Mean attention to each symbol where it can be seen."""
    n = int(symbols.max()) + 1
    seen, total = torch.zeros(n), torch.zeros(n)
    total.index_add_(0, symbols.flatten(), away.sum(1).flatten())
    seen.index_add_(0, symbols.flatten(), past.float().sum(1).flatten())
    return total / seen.clamp_min(1)


def attends_as(model: Any, tokens: Int[Tensor, "batch pos"], head: Head, role: str) -> bool:
    """Whether a head attends as the role says. Roles that attention cannot show are False."""
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: "pattern" in name)
    pattern = cache["pattern", head[0]][:, head[1]]
    if role == "counter":
        return evenness(pattern, tokens) >= ENOUGH
    if role not in TARGETS:
        return False
    return share_on_targets(pattern, TARGETS[role](tokens)) >= ENOUGH
