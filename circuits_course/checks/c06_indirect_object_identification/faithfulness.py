"""Exercise `faithfulness`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import (
    ADDING,
    ENTANGLED,
    HEAD_A,
    HEAD_B,
    C,
    D,
    E,
    M,
)
from circuits_course.checks.slips import slip

faithfulness = Exercise(
    "faithfulness",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "F takes a set of heads to leave. What is F of the whole model? Of the circuit?",
        "A circuit that does better than the model is as unfaithful as one that does worse: abs().",
    ],
)


@faithfulness.cases
def _faithfulness_cases() -> Iterator[Case]:
    yield Case("a circuit that lacks a head worth 1", ADDING, set(M), {HEAD_A, C})
    yield Case("a circuit that lacks a head worth -2", ADDING, set(M), {HEAD_A, HEAD_B})
    for F, circuit in zip(ENTANGLED, ({HEAD_A, D}, {HEAD_B, C, E}, {E}), strict=True):
        yield Case("a random F", F, set(M), circuit)


@faithfulness.oracle
def _faithfulness_oracle(F: Any, model_heads: Any, circuit: Any) -> float:
    return max(F(model_heads) - F(circuit), F(circuit) - F(model_heads))


@faithfulness.wrong(
    "the sign is kept. The score is a distance: a circuit that leaves out what works against the "
    "task does better than the model, and that is no merit."
)
def faithfulness_signed(F: Any, model_heads: Any, circuit: Any) -> float:
    return F(model_heads) - F(circuit)


@faithfulness.wrong("that is a ratio; the score is a difference, in logits.")
def faithfulness_ratio(F: Any, model_heads: Any, circuit: Any) -> float:
    return F(circuit) / F(model_heads)


@faithfulness.wrong("that is F(C) alone. How far is it from F(M)?")
def circuit_alone(F: Any, model_heads: Any, circuit: Any) -> float:
    return F(circuit)


@faithfulness.wrong(
    "the circuit was taken away instead of being left alone: F takes the heads that stay."
)
def circuit_taken_away(F: Any, model_heads: Any, circuit: Any) -> float:
    return abs(F(model_heads) - F(set(model_heads) - set(circuit)))


@faithfulness.wrong(
    "the difference was divided by F(M). Keep logits; the notebook shows the share."
)
def faithfulness_share(F: Any, model_heads: Any, circuit: Any) -> float:
    return abs(F(model_heads) - F(circuit)) / F(model_heads)


slip(
    faithfulness,
    "circuit_minus_model",
    "the sign is kept, circuit minus model. The score is a distance: take abs().",
    ("return abs(F(model_heads) - F(circuit))", "return F(circuit) - F(model_heads)"),
)


slip(
    faithfulness,
    "squared",
    "the difference was squared. Keep logits: abs().",
    ("return abs(F(model_heads) - F(circuit))", "return (F(model_heads) - F(circuit)) ** 2"),
)


slip(
    faithfulness,
    "one_minus_the_ratio",
    "that is 1 minus a ratio; the score is a difference, in logits.",
    ("return abs(F(model_heads) - F(circuit))", "return 1 - F(circuit) / F(model_heads)"),
)


slip(
    faithfulness,
    "size_of_each",
    "the sizes of the two were subtracted. A circuit that prefers the wrong name as strongly "
    "would be perfect: take abs() last.",
    (
        "return abs(F(model_heads) - F(circuit))",
        "return abs(abs(F(model_heads)) - abs(F(circuit)))",
    ),
)


slip(
    faithfulness,
    "relative_to_the_circuit",
    "the difference was divided by F(C). Keep logits.",
    (
        "return abs(F(model_heads) - F(circuit))",
        "return abs((F(model_heads) - F(circuit)) / F(circuit))",
    ),
)


slip(
    faithfulness,
    "mean_of_both",
    "the two were averaged. The score is how far apart they are: abs() of their difference.",
    ("return abs(F(model_heads) - F(circuit))", "return (F(model_heads) + F(circuit)) / 2"),
)
