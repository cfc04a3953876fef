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


slip(
    completeness,
    "model_minus_circuit",
    "the sign is kept, model minus circuit. The score is a distance: take abs().",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return F(model_heads - removed) - F(circuit - removed)",
    ),
)


slip(
    completeness,
    "completeness_squared",
    "the difference was squared. Keep logits: abs().",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return (F(circuit - removed) - F(model_heads - removed)) ** 2",
    ),
)


slip(
    completeness,
    "completeness_share",
    "the difference was divided by F(M \\ K). Keep logits: F(M \\ K) may be near 0.",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return abs(F(circuit - removed) / F(model_heads - removed) - 1)",
    ),
)


slip(
    completeness,
    "circuit_in_the_model",
    "the circuit was taken from the model as well, so its complement stands where the model "
    "should: F(M \\ K) keeps all heads but K.",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return abs(F(circuit - removed) - F(model_heads - circuit - removed))",
    ),
)


slip(
    completeness,
    "circuit_with_and_without",
    "this is how much the circuit loses by K. Compare circuit and model, both without K.",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return abs(F(circuit - removed) - F(circuit))",
    ),
)


slip(
    completeness,
    "model_with_and_without",
    "this is how much the model loses by K. Compare circuit and model, both without K.",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return abs(F(model_heads - removed) - F(model_heads))",
    ),
)


slip(
    completeness,
    "drops_as_shares",
    "the losses were compared as shares. Compare what is left, in logits: F without K, of "
    "circuit and of model.",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return abs(F(circuit - removed) / F(circuit) - F(model_heads - removed) / F(model_heads))",
    ),
)


slip(
    completeness,
    "kept_at_0",
    "a negative difference was set to 0. The score is a distance: take abs().",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return max(F(circuit - removed) - F(model_heads - removed), 0.0)",
    ),
)


slip(
    completeness,
    "model_minus_circuit_kept_at_0",
    "a circuit that does better than the model got 0. The score is a distance: take abs().",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return max(F(model_heads - removed) - F(circuit - removed), 0.0)",
    ),
)


slip(
    completeness,
    "losses_added",
    "the losses of circuit and model were added. Compare what is left of the two.",
    (
        "return abs(F(circuit - removed) - F(model_heads - removed))",
        "return abs(F(circuit - removed) - F(circuit)) + abs(F(model_heads - removed) - "
        "F(model_heads))",
    ),
)
