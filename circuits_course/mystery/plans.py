"""The planted algorithms: which heads, what each looks at and moves, and who reads whom.

A plan knows nothing of layers and places; `planting` puts it into a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import torch

from circuits_course.circuits.basis import Basis
from circuits_course.mystery.inputs import FreeSymbols, MysteryInputs, TwoNames
from circuits_course.mystery.wiring import (
    Look,
    Moves,
    at_position,
    back,
    itself,
    kind_of,
    matching,
    of_kind,
    rest,
    symbols_of,
)

LOUD = 5.0  # logits that a copy adds to its symbol
SHARP = 14.0  # score of a match, against 0 for all else


@dataclass(frozen=True)
class PlannedHead:
    """A head before it has a place. stage: heads of a higher stage stand in a higher layer."""

    role: str
    stage: int
    looks: list[Look]
    moves: Moves


@dataclass(frozen=True)
class Plan:
    """An algorithm as heads by a name of their own, and edges (sender, receiver, "q" "k" "v").

    receiver "logits" has the letter "". symbols: tokens with a meaning of their own.
    """

    algorithm: str
    heads: dict[str, PlannedHead]
    edges: list[tuple[str, str, str]]
    inputs: MysteryInputs
    symbols: dict[str, list[int]] = field(default_factory=dict)

    @property
    def n_stages(self) -> int:
        return 1 + max(head.stage for head in self.heads.values())


def copies(basis: Basis, group: str = "out", loud: float = LOUD) -> Moves:
    return Moves(symbols_of(basis, "token"), loud * symbols_of(basis, group))


def free(basis: Basis) -> FreeSymbols:
    return FreeSymbols(basis.d_vocab, basis.n_ctx)


def _one_head(algorithm: str, role: str, basis: Basis, looks: list[Look], moves: Moves) -> Plan:
    head = PlannedHead(role, 0, looks, moves)
    return Plan(algorithm, {"only": head}, [("only", "logits", "")], free(basis))


def previous_token(basis: Basis, random: Random) -> Plan:
    looks = [back(basis, 1, SHARP), rest(basis, SHARP / 2)]
    return _one_head("previous token", "previous token", basis, looks, copies(basis))


def first_token(basis: Basis, random: Random) -> Plan:
    looks = [at_position(basis, 1, SHARP), rest(basis, SHARP / 2)]
    return _one_head("first token", "first token", basis, looks, copies(basis))


def majority(basis: Basis, random: Random) -> Plan:
    looks = [rest(basis, -SHARP / 3)]
    return _one_head("majority", "counter", basis, looks, copies(basis, loud=4 * LOUD))


def duplicate_detection(basis: Basis, random: Random) -> Plan:
    new, seen = random.sample(range(1, basis.d_vocab), 2)
    reads = kind_of(basis, "token", range(1, basis.d_vocab)), basis.token[:1]
    moves = Moves(torch.cat(reads), LOUD * basis.out[[seen, new]])
    looks = earlier_copies(basis)
    plan = _one_head("duplicate detection", "duplicate token", basis, looks, moves)
    return replace(plan, symbols={"new": [new], "seen": [seen]})


def earlier_copies(basis: Basis) -> list[Look]:
    look = matching(basis, "token", "token", SHARP)
    return [look, itself(basis, -2 * SHARP), rest(basis, SHARP / 2)]


def two_back(basis: Basis, random: Random) -> Plan:
    looks = [back(basis, 1, SHARP), rest(basis, SHARP / 2)]
    brought = Moves(symbols_of(basis, "previous"), LOUD * symbols_of(basis, "out"))
    heads = {
        "first": PlannedHead("previous token", 0, looks, copies(basis, "previous", 1.0)),
        "second": PlannedHead("previous token", 1, looks, brought),
    }
    return Plan(
        "two back", heads, [("first", "second", "v"), ("second", "logits", "")], free(basis)
    )


def induction(basis: Basis, random: Random) -> Plan:
    back_one = [back(basis, 1, SHARP), rest(basis, SHARP / 2)]
    match = [matching(basis, "token", "previous", SHARP), rest(basis, SHARP / 2)]
    heads = {
        "previous": PlannedHead("previous token", 0, back_one, copies(basis, "previous", 1.0)),
        "induction": PlannedHead("induction", 1, match, copies(basis)),
    }
    edges = [("previous", "induction", "k"), ("induction", "logits", "")]
    return Plan("induction", heads, edges, free(basis))


def balance(basis: Basis, random: Random) -> Plan:
    """Weight on a kind is n / (n + 2) beside BOS, so that it grows with the count n."""
    drawn = random.sample(range(1, basis.d_vocab), basis.d_vocab - 1)
    kinds, answers = (drawn[:3], drawn[3:6]), random.sample(range(1, basis.d_vocab), 2)
    heads = {}
    for name, members, answer in zip(("one", "other"), kinds, answers, strict=True):
        looks = [of_kind(basis, members, SHARP / 2), rest(basis, SHARP / 2 + 0.7)]
        moves = Moves(kind_of(basis, "token", members), 3 * LOUD * basis.out[answer][None])
        heads[name] = PlannedHead("counter", 0, looks, moves)
    edges = [(name, "logits", "") for name in heads]
    symbols = {"one": kinds[0], "other": kinds[1], "answers": answers}
    return Plan("balance", heads, edges, free(basis), symbols)


def odd_one_out(basis: Basis, random: Random) -> Plan:
    """IOI in miniature: duplicate token, inhibition, mover (Wang et al. 2022, section 3)."""
    drawn = random.sample(range(1, basis.d_vocab), basis.d_vocab - 1)
    names, question, fillers = drawn[:4], drawn[4], drawn[5:]
    asked = basis.token[question][None]
    marks = basis.group("previous")[names]
    repeated = Look(asked, marks.sum(0, keepdim=True), SHARP)
    wanted = Look(asked, kind_of(basis, "token", names), SHARP)
    unwanted = Look(marks, basis.token[names], -2 * SHARP)
    heads = {
        "duplicate": PlannedHead(
            "duplicate token", 0, earlier_copies(basis), Moves(basis.token[names], marks)
        ),
        "inhibition": PlannedHead(
            "inhibition", 1, [repeated, rest(basis, SHARP / 2)], Moves(marks, marks)
        ),
        "mover": PlannedHead(
            "mover",
            2,
            [wanted, unwanted, rest(basis, SHARP / 2)],
            Moves(basis.token[names], LOUD * basis.out[names]),
        ),
    }
    edges = [
        ("duplicate", "inhibition", "k"),
        ("duplicate", "inhibition", "v"),
        ("inhibition", "mover", "q"),
        ("mover", "logits", ""),
    ]
    inputs = TwoNames(tuple(names), tuple(fillers), question, basis.n_ctx)
    return Plan("odd one out", heads, edges, inputs, {"names": names})


PLANS: tuple[Callable[[Basis, Random], Plan], ...] = (
    previous_token,
    first_token,
    majority,
    duplicate_detection,
    two_back,
    induction,
    balance,
    odd_one_out,
)


# --- wirings ----------------------------------------------------------------------------------


def with_backup(plan: Plan, basis: Basis) -> Plan:
    """The plan with a second, later head that does the last one's job when nobody has done it.

    Its queries read what has been written for the output, and turn it away from those symbols: it
    rests while the first head works (compare Wang et al. 2022, appendix on backup name movers).
    """
    name, first = list(plan.heads.items())[-1]
    done = matching(basis, "out", "token", -10.0)
    looks = [look._replace(strength=18.0) for look in first.looks if look.strength == SHARP]
    moves = first.moves._replace(writes=1.1 * first.moves.writes)
    backup = PlannedHead("backup", first.stage + 1, [*looks, done, rest(basis, 6.0)], moves)
    edges = [(sender, "backup", letter) for sender, to, letter in plan.edges if to == name]
    edges += [(name, "backup", "q"), ("backup", "logits", "")]
    return replace(plan, heads={**plan.heads, "backup": backup}, edges=[*plan.edges, *edges])


def with_two_backups(plan: Plan, basis: Basis) -> Plan:
    """The plan with two backups, one above the other: each rests while anybody below has spoken.

    No head and no pair of heads is needed any more; only all three together are.
    """
    one = with_backup(plan, basis)
    backup = one.heads["backup"]
    second = replace(backup, stage=backup.stage + 1)
    heard = [(sender, letter) for sender, to, letter in one.edges if to == "backup"]
    edges = [(sender, "second backup", letter) for sender, letter in heard]
    edges += [("backup", "second backup", "q"), ("second backup", "logits", "")]
    heads = {**one.heads, "second backup": second}
    return replace(one, heads=heads, edges=[*one.edges, *edges])


def can_have_backup(plan: Plan) -> bool:
    """Whether the plan ends in one head that copies from one place."""
    return plan.algorithm in ("previous token", "first token", "induction")
