"""Exercise `largest_gap`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import (
    ADDING,
    BACKED_UP,
    ENTANGLED,
    M,
    Toy,
)
from circuits_course.checks.slips import slip

largest_gap = Exercise(
    "largest_gap",
    difficulty=4,
    importance=4,
    minutes=12,
    hints=[
        "One step: for every head that is still in the circuit, completeness with it removed as "
        "well as all removed before. Which is largest?",
        "Keep it only if that is larger than completeness without this last head; else stop: "
        "break.",
        "gaps = {head: completeness(F, model_heads, circuit, {*removed, head}) for head in circuit "
        "- set(removed)}; best = max(gaps, key=gaps.get).",
    ],
)


def _two_backups(heads: frozenset[Any]) -> float:
    """Two pairs of a head and its backup: a loss of the first shows once the other is gone too."""
    first = 3.0 if (0, 0) in heads else 2.9 * ((0, 1) in heads)
    second = 2.0 if (1, 0) in heads else 1.5 * ((2, 1) in heads)
    return first + second + 0.25 * ((1, 1) in heads)


TWO_BACKUPS = Toy("F of two heads with backups", _two_backups)


def _late_first(heads: frozenset[Any]) -> float:
    """The later head's backup is the better one; each loss widens the gap."""
    first = 3.0 if (0, 0) in heads else 1.0 * ((0, 1) in heads)
    second = 2.0 if (1, 0) in heads else 1.9 * ((2, 1) in heads)
    return first + second


LATE_FIRST = Toy("F of two heads, the later with the better backup", _late_first)


SIX = frozenset((layer, head) for layer in range(3) for head in range(2))


def _three_backups(heads: frozenset[Any]) -> float:
    """Each head 0 has head 1 as its backup; layers 0 and 2 do a third thing between them."""
    first, second, third = (bool(heads & {(layer, 0), (layer, 1)}) for layer in range(3))
    return 1.9 * first + 2.0 * second + 3.0 * third + 2.5 * (first or third)


THREE_BACKUPS = Toy(
    "F of three heads with backups, two of them backups of each other", _three_backups
)


@largest_gap.cases
def _gap_cases() -> Iterator[Case]:
    yield Case("a circuit without the backup", BACKED_UP, set(M), {(0, 0), (1, 0)}, 2)
    yield Case(
        "two heads whose backups are missing", TWO_BACKUPS, set(M), {(0, 0), (1, 0), (1, 1)}, 3
    )
    yield Case("the same, one step", TWO_BACKUPS, set(M), {(0, 0), (1, 0), (1, 1)}, 1)
    yield Case("heads that add up: no loss widens the gap", ADDING, set(M), {(0, 0), (1, 0)}, 2)
    yield Case(
        "a later head first, and more steps than heads", LATE_FIRST, set(M), {(0, 0), (1, 0)}, 5
    )
    three = {(0, 0), (1, 0), (2, 0)}
    for steps in (4, 2):
        yield Case("three heads without their backups", THREE_BACKUPS, set(SIX), three, steps)
    for F in ENTANGLED[:2]:
        yield Case("a random F, one step", F, set(M), {(0, 1), (1, 1), (2, 1)}, 1)
    circuits = ({(0, 0), (1, 1), (1, 0)}, {(0, 1), (1, 0), (2, 1)}, {(0, 0), (0, 1), (2, 1)})
    for F, circuit in zip(ENTANGLED, circuits, strict=True):
        yield Case("a random F", F, set(M), circuit, 3)


Pick = Callable[[dict[Any, float]], Any]


def _search(
    F: Any, model_heads: Any, circuit: Any, steps: int, *, stop: bool = True, signed: bool = False,
    pick: Pick | None = None, again: bool = True,
) -> list[Any]:  # fmt: skip
    def gap(removed: list[Any]) -> float:
        both = [[head for head in heads if head not in removed] for heads in (circuit, model_heads)]
        distance = F(both[0]) - F(both[1])
        return distance if signed else max(distance, -distance)

    removed: list[Any] = []
    while len(removed) < steps:
        before = removed if again else []
        gaps = {h: gap([*before, h]) for h in sorted(circuit) if h not in removed}
        if not gaps:
            break
        best = (pick or (lambda g: max(g, key=lambda head: g[head])))(gaps)
        if stop and gaps[best] <= gap(removed):
            break
        removed.append(best)
    return removed


@largest_gap.oracle
def _gap_oracle(F: Any, model_heads: Any, circuit: Any, steps: int) -> list[Any]:
    return _search(F, model_heads, circuit, steps)


@largest_gap.wrong(
    "the search goes on where nothing widens the gap. Stop there: heads that only narrow it hide "
    "what was found."
)
def never_stops(F: Any, model_heads: Any, circuit: Any, steps: int) -> list[Any]:
    return _search(F, model_heads, circuit, steps, stop=False)


@largest_gap.wrong(
    "every head was tried alone, and the largest were taken. A backup shows itself only once "
    "others are gone: try each head *besides* those removed before."
)
def each_alone(F: Any, model_heads: Any, circuit: Any, steps: int) -> list[Any]:
    return _search(F, model_heads, circuit, steps, again=False, stop=False)


@largest_gap.wrong("the smallest gap was taken in each step; the largest is asked for.")
def smallest_gap(F: Any, model_heads: Any, circuit: Any, steps: int) -> list[Any]:
    return _search(
        F, model_heads, circuit, steps, stop=False, pick=lambda g: min(g, key=lambda h: g[h])
    )


@largest_gap.wrong(
    "one step was made. After the first head, look again: up to `steps` heads are asked for."
)
def one_step(F: Any, model_heads: Any, circuit: Any, steps: int) -> list[Any]:
    return _search(F, model_heads, circuit, 1)


@largest_gap.wrong(
    "the sign is kept: a circuit that does *better* than the model after the loss differs from it "
    "as well. Use completeness, which is a distance."
)
def gap_signed(F: Any, model_heads: Any, circuit: Any, steps: int) -> list[Any]:
    return _search(F, model_heads, circuit, steps, signed=True)


slip(
    largest_gap,
    "more_than_steps",
    "`steps` is not heeded: that many heads at most.",
    ("range(steps)", "range(100)"),
)


slip(
    largest_gap,
    "heads_outside_too",
    "heads outside the circuit were tried. K is taken from the circuit.",
    ("sorted(circuit - set(removed))", "sorted(model_heads - set(removed))"),
)


slip(
    largest_gap,
    "heads_in_their_own_order",
    "the heads come sorted. They should come in the order in which they were added.",
    ("return removed", "return sorted(removed)"),
)


slip(
    largest_gap,
    "removed_from_the_circuit_alone",
    "K was taken from the circuit alone, so gaps are distances from the whole model. Model "
    "and circuit have to lose the same: use completeness.",
    (
        "head: completeness(F, model_heads, circuit, {*removed, head})",
        "head: abs(F(circuit - {*removed, head}) - F(model_heads))",
    ),
)


slip(
    largest_gap,
    "first_that_widens",
    "the first head that widens the gap was taken. Try all of them in each step, and take "
    "the one after which it is largest.",
    (
        "best = max(gaps, key=lambda head: gaps[head], default=None)",
        "best = next((head for head in gaps if gaps[head] > widest), None)",
    ),
)


slip(
    largest_gap,
    "gap_from_nothing",
    "each gap is held against that of nothing removed, and so the search goes on while it is "
    "above it. Stop where no head makes the *current* gap larger.",
    (
        "widest = completeness(F, model_heads, circuit, set(removed))",
        "widest = completeness(F, model_heads, circuit, set())",
    ),
)


slip(
    largest_gap,
    "smallest_name_first",
    "the largest *name* of a head was taken, not the largest gap: give max a key.",
    (
        "max(gaps, key=lambda head: gaps[head], default=None)",
        "max(gaps, default=None)",
    ),
)


slip(
    largest_gap,
    "what_the_circuit_alone_loses",
    "it was asked what a head matters to the circuit. Asked for is how far model and circuit "
    "come apart: completeness.",
    (
        "head: completeness(F, model_heads, circuit, {*removed, head})",
        "head: minimality(F, circuit, head, set(removed))",
    ),
)


slip(
    largest_gap,
    "two_at_most",
    "the search stops after two heads. Up to `steps` may be added.",
    (
        "range(steps)",
        "range(min(steps, 2))",
    ),
)
