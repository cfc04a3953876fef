"""Planted circuits that hide: each from a method that looks in one way only.

A backup rests until it is needed; a message that never changes shows no difference between two
prompts; of two heads either of which will do, neither is missed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from circuits_course.circuits.basis import Basis
from circuits_course.mystery.plans import (
    SHARP,
    Plan,
    PlannedHead,
    copies,
    earlier_copies,
    free,
    previous_token,
    with_two_backups,
)
from circuits_course.mystery.wiring import (
    Look,
    Moves,
    always,
    back,
    kind_of,
    rest,
)


def two_backups(basis: Basis, random: Random) -> Plan:
    """One copier and two that stand in for it: invisible to the ablation of one head or of two."""
    return with_two_backups(previous_token(basis, random), basis)


def told_where(basis: Basis, random: Random) -> Plan:
    """A head finds the first symbol by a mark that another one leaves there, on every prompt alike.

    The first one looks one back and brings along BOS alone, so that it marks the place after BOS.
    What it says never changes; it matters for where the other one attends, and for nothing else.
    """
    mark = basis.direction("result")[None]
    marked = [Look(always(basis), mark, SHARP), rest(basis, -SHARP / 2)]  # BOS has the mark too
    heads = {
        "marker": PlannedHead("previous token", 0, _back_one(basis), Moves(basis.token[:1], mark)),
        "reader": PlannedHead("first token", 1, marked, copies(basis)),
    }
    edges = [("marker", "reader", "k"), ("reader", "logits", "")]
    return Plan("first token", heads, edges, free(basis))


def told_twice(basis: Basis, random: Random) -> Plan:
    """A mark on the first symbol is handed on to the second, where a third head finds it.

    Nothing but the last step ever differs between two prompts, so that every method that holds one
    prompt against another sees one edge of three.
    """
    one, two = basis.direction("result")[None], basis.previous[:1]
    handed = Moves(one - basis.token[:1], two)  # BOS has the first mark too: not from there
    marked = [Look(always(basis), two, SHARP), rest(basis, SHARP / 2)]
    heads = {
        "marker": PlannedHead("previous token", 0, _back_one(basis), Moves(basis.token[:1], one)),
        "messenger": PlannedHead("previous token", 1, _back_one(basis), handed),
        "reader": PlannedHead("second token", 2, marked, copies(basis)),
    }
    edges = [
        ("marker", "messenger", "v"),
        ("messenger", "reader", "k"),
        ("reader", "logits", ""),
    ]
    return Plan("second token", heads, edges, free(basis))


def either_will_do(basis: Basis, random: Random) -> Plan:
    """Two heads tell a third to speak, and the word of one is enough.

    Both see that the current symbol has stood before; either opens the third one's queries so far
    that its softmax is full. No single edge from them matters, and no gradient shows one; without
    both of them nothing is said.
    """
    told = basis.direction("result")[None]
    symbols = kind_of(basis, "token", range(1, basis.d_vocab))
    first = basis.position[1][None]
    seen = PlannedHead("duplicate token", 0, earlier_copies(basis), Moves(symbols, told))
    open_ = [Look(told, first, SHARP), rest(basis, SHARP / 2)]
    heads = {
        "one": seen,
        "other": seen,
        "reader": PlannedHead("first token", 1, open_, copies(basis)),
    }
    edges = [("one", "reader", "q"), ("other", "reader", "q"), ("reader", "logits", "")]
    return Plan("first if seen", heads, edges, free(basis))


def _back_one(basis: Basis) -> list[Look]:
    return [back(basis, 1, SHARP), rest(basis, SHARP / 2)]


HIDERS: tuple[Callable[[Basis, Random], Plan], ...] = (
    two_backups,
    told_where,
    told_twice,
    either_will_do,
)
