"""The circuit as a claim, scored on prompts that had no say in finding it."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

import torch

from circuits_course.authoring.measure_ioi.prompts import Prompts, spread
from circuits_course.checks.references import load_reference
from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.ioi import other_circuits
from circuits_course.circuits.ioi_roles import places_of

RANDOM_SETS = 23
GREEDY_STEPS = 2
Roles = Mapping[str, Collection[Head]]


def criteria(held_out: Prompts, brief: Prompts, found: Prompts, roles: Roles) -> dict[str, Any]:
    """Faithfulness, completeness and minimality.

    brief: fewer of the held-out prompts, on which many sets are tried. found: the prompts for the
    greedy search.
    """
    circuit = frozenset(head for heads in roles.values() for head in heads)
    whole, alone = held_out.left(held_out.everything), held_out.left(circuit)
    by_place = [F.only(circuit, places_of(roles)) for F in held_out.engines]
    return {
        "F(M)": spread(whole), "F(C)": spread(alone), "F(no heads)": spread(held_out.left(())),
        "F(M without C)": spread(held_out.without(circuit)),
        "F(C), each head at its position": spread(torch.cat(by_place)),
        "faithfulness": spread(whole - alone),
        "random circuits of the same layers": [
            brief.left(other).mean().item()
            for other in other_circuits(circuit, held_out.everything, RANDOM_SETS)
        ],
        "cost of a class": {
            role: spread(held_out.without(heads) - whole) for role, heads in roles.items() if heads
        },
        "completeness": completeness(held_out, brief, found, roles),
        "minimality": minimality(brief, roles),
    }  # fmt: skip


def gap(prompts: Prompts, circuit: Collection[Head], removed: Collection[Head]) -> Any:
    """F(C without K) - F(M without K), prompt by prompt."""
    return prompts.left(set(circuit) - set(removed)) - prompts.without(removed)


def completeness(held_out: Prompts, brief: Prompts, found: Prompts, roles: Roles) -> dict[str, Any]:
    """The gap after losing K: each class, random halves of the circuit, and a greedy search's K."""
    circuit = sorted(head for heads in roles.values() for head in heads)
    draw = random.Random(1)
    halves = [frozenset(draw.sample(circuit, len(circuit) // 2)) for _ in range(RANDOM_SETS)]
    search = load_reference("06_indirect_object_identification").largest_gap
    F = found.engines[0]
    greedy = search(F, set(F.heads), set(circuit), GREEDY_STEPS)
    return {
        "by class": {r: spread(gap(held_out, circuit, h)) for r, h in roles.items() if h},
        "random halves": [gap(brief, circuit, K).mean().item() for K in halves],
        "greedy": {
            "K": [head_name(head) for head in greedy],
            "where it was searched": F(set(circuit) - set(greedy)) - F(F.heads - set(greedy)),
            "held out": spread(gap(held_out, circuit, greedy)),
        },
    }  # fmt: skip


def minimality(held_out: Prompts, roles: Roles) -> dict[str, list[float]]:
    """What each head matters to the circuit: alone, or with its class gone, if that is more."""
    circuit = {head for heads in roles.values() for head in heads}
    found: dict[str, list[float]] = {}
    for heads in roles.values():
        for head in heads:
            trials = []
            for gone in [set()] if len(heads) == 1 else [set(), set(heads) - {head}]:
                rest = circuit - gone
                trials.append(held_out.left(rest - {head}) - held_out.left(rest))
            found[head_name(head)] = spread(max(trials, key=lambda t: abs(t.mean().item())))
    return found
