"""Which role a head plays in indirect object identification: one rule for everyone.

The chapter's notebook and the command that measures the shipped table call the same `roles_of`, so
their lists differ by their prompts alone. A role asks for what a head looks at, against the same
places in prompts in which no name is said twice (ABC); what it writes, from its values in the very
prompts; and what it does: directly, through the movers' queries, or when it is knocked out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.ioi import attention_between
from circuits_course.data.ioi import IOIBatch

Scores = Mapping[str, float]
"""What was measured of one head, by name: see `ROLES`. What is missing counts as 0.

"direct", "knocked out", "to the movers": logits. "END to IO", "S2 to S1", ...: attention, with
", ABC" behind it in prompts without a repetition. "copies IO", "against S2", ...: share of prompts
in which the name there is among the five tokens that the head's value raises, or lowers, most.
"..., high": upper end of the interval, where there is one.
"""

PAIRS = {
    f"{query} to {key}": (query, key)
    for query, key in (
        ("END", "IO"), ("END", "S1"), ("END", "S2"), ("END", "END"), ("S2", "S1"), ("S2", "S1+1"),
        ("S1+1", "S1"),
    )
}  # fmt: skip
"""Where a head may look, by the name of the measurement: (query, key)."""

LOOKS = 0.25  # attention from END to the name that is read
WRITES = 0.5  # share of prompts
SEES = 0.1  # attention more than on ABC prompts
MATTERS = 0.05  # logits


class Role(NamedTuple):
    """A role: the named positions at which its heads act, and whether a head's scores fit it."""

    at: tuple[str, ...]
    asks: str
    fits: Callable[[Scores], bool]


def _reads(h: Scores, name: str, what: str) -> bool:
    return (
        h.get(f"END to {name}", 0.0) > LOOKS
        and _more(h, f"END to {name}")
        and h.get(f"{what} {name}", 0.0) > WRITES
    )


def _more(h: Scores, pair: str) -> bool:
    return h.get(pair, 0.0) - h.get(f"{pair}, ABC", 0.0) > SEES


def _lowers(h: Scores, what: str) -> bool:
    """Whether it lowers the logit difference, the whole interval below zero."""
    value = h.get(what, 0.0)
    return value < -MATTERS and h.get(f"{what}, high", value) < 0


def _at_subject(h: Scores) -> bool:
    return h.get("END to S1", 0.0) + h.get("END to S2", 0.0) > h.get("END to IO", 0.0)


ROLES: dict[str, Role] = {
    "name mover": Role(
        ("END",), "looks at the IO, more than on ABC; raises the name it reads; helps directly",
        lambda h: _reads(h, "IO", "copies") and h.get("direct", 0.0) > MATTERS,
    ),
    "negative name mover": Role(
        ("END",), "looks at the IO, more than on ABC; lowers the name it reads; hurts directly",
        lambda h: _reads(h, "IO", "against") and h.get("direct", 0.0) < -MATTERS,
    ),
    "subject suppressor": Role(
        ("END",), "looks at S2, more than on ABC; lowers the name it reads; helps directly",
        lambda h: _reads(h, "S2", "against") and h.get("direct", 0.0) > MATTERS,
    ),
    "subject mover": Role(
        ("END",), "raises the name it reads, looks at the subject more; hurts directly",
        lambda h: h.get("copies S2", 0.0) > WRITES and _at_subject(h)
        and h.get("direct", 0.0) < -MATTERS,
    ),
    "S-inhibition": Role(
        ("END",), "helps through the movers' queries, and is missed",
        lambda h: _lowers(h, "to the movers") and _lowers(h, "knocked out"),
    ),
    "induction": Role(
        ("S2",), "looks from S2 to S1+1, more than on ABC, and is missed",
        lambda h: _more(h, "S2 to S1+1") and _lowers(h, "knocked out"),
    ),
    "duplicate token": Role(
        ("S2",), "looks from S2 to S1, more than on ABC, and is missed",
        lambda h: _more(h, "S2 to S1") and _lowers(h, "knocked out"),
    ),
    "previous token": Role(
        ("S1+1",), "looks from S1+1 to S1, on ABC as well, and is missed",
        lambda h: min(h.get("S1+1 to S1", 0.0), h.get("S1+1 to S1, ABC", 0.0)) > LOOKS
        and _lowers(h, "knocked out"),
    ),
    "writer at END, role open": Role(
        ("END",), "writes 0.1 logits or more at END, and no role above fits",
        lambda h: abs(h.get("direct", 0.0)) > 2 * MATTERS,
    ),
}  # fmt: skip
"""Roles in the order in which they are tried: a head takes the first one that fits."""


def looks_by_name(
    model: Any, batch: IOIBatch, abc: Tensor | None = None, *, each: bool = False
) -> dict[str, Tensor]:
    """Attention of every head between named positions, [layer, head], for all of `PAIRS`.

    With ", ABC" behind the name: between the same places of prompts in which no name is said twice.
    abc: their tokens (default: `batch.corrupt("ABC")`). each: keep the prompts apart, as a last
    axis.
    """
    found: dict[str, Tensor] = {}
    abc = batch.corrupt("ABC") if abc is None else abc
    for tokens, suffix in ((batch.tokens, ""), (abc, ", ABC")):
        looks = attention_between(model, tokens, batch.positions, PAIRS.values(), each=each)
        found |= {what + suffix: looks[pair] for what, pair in PAIRS.items()}
    return found


def name_readers(looks: Mapping[str, Tensor]) -> list[Head]:
    """Heads that look from END at the three places of names with a quarter of their attention."""
    total = looks["END to IO"] + looks["END to S1"] + looks["END to S2"]
    return [(layer, head) for layer, head in (total > LOOKS).nonzero().tolist()]


def scores_by_head(tables: Mapping[str, Tensor | Mapping[Head, Any]]) -> dict[Head, Scores]:
    """Turns measurements over all heads round: {what: [layer, head]} -> {head: {what: number}}.

    A measurement may also be a mapping from the heads that were looked at, to numbers or to one
    number for each prompt, which are averaged.
    """
    found: dict[Head, dict[str, float]] = {}
    for what, table in tables.items():
        for head, value in _entries(table):
            found.setdefault(head, {})[what] = float(torch.as_tensor(value).mean())
    return dict(sorted(found.items()))


def _entries(table: Tensor | Mapping[Head, Any]) -> Iterable[tuple[Head, Any]]:
    if isinstance(table, Mapping):
        return table.items()
    n_layers, n_heads = table.shape
    heads = ((layer, head) for layer in range(n_layers) for head in range(n_heads))
    return zip(heads, table.flatten().tolist(), strict=True)


def roles_of(scores: Mapping[Head, Scores]) -> dict[str, list[Head]]:
    """The heads of every role, by their scores: {role: heads}, strongest first.

    Strongest: whose knock-out moves the logit difference most, or, where none was tried, whose
    direct effect is largest.
    """
    found: dict[str, list[Head]] = {role: [] for role in ROLES}
    for head, h in scores.items():
        role = next((role for role, rule in ROLES.items() if rule.fits(h)), None)
        if role is not None:
            found[role].append(head)

    def strength(head: Head) -> float:
        return -abs(scores[head].get("knocked out", scores[head].get("direct", 0.0)))

    return {role: sorted(heads, key=strength) for role, heads in found.items()}


def is_missed(scores: Scores) -> bool:
    """Whether a head's knock-out lowers the score for sure."""
    return _lowers(scores, "knocked out")


def places_of(roles: Mapping[str, Iterable[Head]]) -> dict[Head, tuple[str, ...]]:
    """Where each head of a circuit acts: {head: named positions}."""
    return {head: ROLES[role].at for role, heads in roles.items() for head in heads}
