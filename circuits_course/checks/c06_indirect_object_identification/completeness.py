"""Exercise `completeness`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import (
    ADDING,
    BACKED_UP,
    ENTANGLED,
    HEAD_A,
    HEAD_B,
    C,
    D,
    E,
    M,
)
from circuits_course.checks.slips import slip

completeness = Exercise(
    "completeness",
    difficulty=3,
    importance=4,
    minutes=6,
    hints=[
        "Take the same heads K from both: circuit - removed, and model_heads - removed.",
        "Then it is the faithfulness of what is left.",
    ],
)


@completeness.cases
def _completeness_cases() -> Iterator[Case]:
    yield Case(
        "a circuit without the backup, the main head removed",
        BACKED_UP,
        set(M),
        {HEAD_A, C},
        {HEAD_A},
    )
    yield Case("the same circuit, nothing removed", BACKED_UP, set(M), {HEAD_A, C}, set())
    yield Case("heads that add up, one removed", ADDING, set(M), {HEAD_A, HEAD_B}, {HEAD_B})
    parts = (
        ({HEAD_A, D, C}, {C}),
        ({HEAD_B, C, E}, {HEAD_B, E}),
        ({E, HEAD_A}, {HEAD_A}),
    )
    for F, (circuit, removed) in zip(ENTANGLED, parts, strict=True):
        yield Case("a random F", F, set(M), circuit, removed)


@completeness.oracle
def _completeness_oracle(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    left = [[head for head in heads if head not in removed] for heads in (model_heads, circuit)]
    return max(F(left[0]) - F(left[1]), F(left[1]) - F(left[0]))


@completeness.wrong(
    "K was taken from the circuit alone. Model and circuit have to suffer the same loss: remove it "
    "from both."
)
def removed_from_circuit_alone(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(set(circuit) - set(removed)) - F(model_heads))


@completeness.wrong("K was taken from the model alone: remove it from both.")
def removed_from_model_alone(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(circuit) - F(set(model_heads) - set(removed)))


@completeness.wrong("nothing was removed: this is faithfulness.")
def nothing_removed(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(circuit) - F(model_heads))


@completeness.wrong("the sign is kept: the score is a distance, take abs().")
def completeness_signed(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return F(set(circuit) - set(removed)) - F(set(model_heads) - set(removed))


@completeness.wrong(
    "K itself was left and the rest removed: F takes the heads that stay, so subtract K."
)
def only_removed_left(F: Any, model_heads: Any, circuit: Any, removed: Any) -> float:
    return abs(F(set(circuit) & set(removed)) - F(set(model_heads) - set(removed)))


slip(
    completeness,
    "difference_of_drops",
    "this compares how much each loses. Compare what is left: F without K, of circuit and of "
    "model.",
    (
        "F(circuit - removed) - F(model_heads - removed)",
        "(F(circuit) - F(circuit - removed)) - (F(model_heads) - F(model_heads - removed))",
    ),
)
