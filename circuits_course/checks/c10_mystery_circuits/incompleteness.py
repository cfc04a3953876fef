"""Exercise `incompleteness`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c10_mystery_circuits.shared import (
    ROUGH,
    WITH_BACKUP,
    all_but,
    heads_of,
    incomplete,
    model_and_prompts,
    scale,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import Head

incompleteness = Exercise(
    "incompleteness",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=[
        "Two runs: the model with `knocked_out` ablated, and the circuit with `knocked_out` "
        "ablated, in which everything outside the circuit is ablated as well.",
        "For the second: ablate every head that is not in the circuit, or is knocked out.",
    ],
    tolerance=ROUGH,
)


@incompleteness.cases
def _incompleteness_cases() -> Iterator[Case]:
    model, tokens = model_and_prompts(WITH_BACKUP)
    first, backup = heads_of(WITH_BACKUP)["first token"], heads_of(WITH_BACKUP)["backup"]
    yield Case("a circuit whose backup was forgotten", model, tokens, [first], [first])
    yield Case("the same circuit with its backup", model, tokens, [first, backup], [first])
    yield Case(
        "a random model", random_model(3, 4), random_tokens(5, 8),
        [(0, 1), (1, 3), (2, 0)], [(0, 1), (2, 0)],
    )  # fmt: skip
    yield Case(
        "a random model, nothing knocked out", random_model(3, 4), random_tokens(4, 7, seed=2),
        [(0, 1), (1, 3), (2, 0), (2, 2)], [],
    )  # fmt: skip
    yield Case(
        "a random model, by zeros", random_model(2, 5, seed=1), random_tokens(3, 9),
        [(0, 0), (0, 3), (1, 1), (1, 2)], [(0, 3)], "zero",
    )  # fmt: skip


@incompleteness.oracle
def _incompleteness_oracle(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    gone = [*all_but(model, circuit), *knocked_out]
    return incomplete(model, tokens, knocked_out, gone, mode)


@incompleteness.wrong(
    "the model on the other side is still whole. Knock the same heads out of both: the question is "
    "whether they fall alike."
)
def whole_model(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    gone = [*all_but(model, circuit), *knocked_out]
    return incomplete(model, tokens, [], gone, mode)


@incompleteness.wrong("the circuit is still whole. Knock the same heads out of both.")
def whole_circuit(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return incomplete(model, tokens, knocked_out, all_but(model, circuit), mode)


@incompleteness.wrong(
    "only the knocked-out heads are left of the circuit; they are the ones to take away from it."
)
def knocked_out_left(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return incomplete(model, tokens, knocked_out, all_but(model, knocked_out), mode)


@incompleteness.wrong(
    "the two runs are the same: in the circuit everything outside it must be ablated as well."
)
def outside_left_in(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return incomplete(model, tokens, knocked_out, knocked_out, mode)


@incompleteness.wrong("the divergence is not divided by that of nothing (all heads ablated).")
def incomplete_in_nats(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    share = _incompleteness_oracle(model, tokens, circuit, knocked_out, mode)
    return share * float(scale(model, tokens, mode))


@incompleteness.wrong("the two runs are exchanged: the model without them comes first.")
def incomplete_exchanged(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    gone = [*all_but(model, circuit), *knocked_out]
    return incomplete(model, tokens, gone, knocked_out, mode)


@incompleteness.wrong("`mode` is not used; hand it to Ablation.")
def incomplete_always_mean(
    model: Any, tokens: Tensor, circuit: list[Head], knocked_out: list[Head], mode: str = "mean"
) -> float:
    return _incompleteness_oracle(model, tokens, circuit, knocked_out, "mean")


slip(
    incompleteness,
    "one_minus",
    "that is 1 minus the result: it is 0 where circuit and model fall alike.",
    (
        "return float(divergence(model_without, circuit_without) / nothing)",
        "return 1 - float(divergence(model_without, circuit_without) / nothing)",
    ),
)


slip(
    incompleteness,
    "nothing_from_the_fallen",
    "the division is by the distance of nothing from the model *without* the heads. It is "
    "from the whole model.",
    (
        "return float(divergence(model_without, circuit_without) / nothing)",
        "return float(divergence(model_without, circuit_without) / divergence(model_without, "
        "ablation.logits(heads)))",
    ),
)


slip(
    incompleteness,
    "difference_of_losses",
    "this compares how far each of the two moves. Compare model and circuit with each other, "
    "both without the heads.",
    (
        "return float(divergence(model_without, circuit_without) / nothing)",
        "outside = [head for head in heads if head not in circuit]\n"
        "    whole = divergence(model(tokens), model_without)\n"
        "    return float((divergence(ablation.logits(outside), circuit_without) -"
        " whole).abs() / nothing)",
    ),
)


slip(
    incompleteness,
    "difference_of_faithfulness",
    "this compares how far each of the two is from the whole model. Compare model and "
    "circuit with each other, both without the heads.",
    (
        "return float(divergence(model_without, circuit_without) / nothing)",
        "whole = model(tokens)\n"
        "    return float((divergence(whole, model_without) - divergence(whole,"
        " circuit_without)).abs() / nothing)",
    ),
)


slip(
    incompleteness,
    "upside_down",
    "the fraction is upside down: the divergence of the two over that of nothing.",
    (
        "return float(divergence(model_without, circuit_without) / nothing)",
        "return float(nothing / divergence(model_without, circuit_without))",
    ),
)


slip(
    incompleteness,
    "one_at_a_time",
    "the heads were knocked out one at a time and the results averaged. Knock them all out "
    "at once.",
    (
        "return float(divergence(model_without, circuit_without) / nothing)",
        "found = []\n"
        "    for one in knocked_out:\n"
        "        gone = [head for head in heads if head not in circuit or head == one]\n"
        "        found.append(divergence(ablation.logits([one]), ablation.logits(gone)) /"
        " nothing)\n"
        "    return float(sum(found) / max(len(found), 1))",
    ),
)
