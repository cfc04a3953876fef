"""Exercise `faithfulness`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c10_mystery_circuits.shared import (
    ROUGH,
    TWO_LAYERS,
    all_but,
    every,
    kl,
    model_and_prompts,
    run,
    scale,
    true_circuit,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import Head

faithfulness = Exercise(
    "faithfulness",
    difficulty=3,
    importance=5,
    minutes=8,
    hints=[
        "`ablation.logits(...)` wants what is to be *ablated*: the heads that are not in the "
        "circuit.",
        "Two divergences from the model's own logits: with everything outside the circuit ablated, "
        "and with every head ablated.",
    ],
    tolerance=ROUGH,
)


@faithfulness.cases
def _faithfulness_cases() -> Iterator[Case]:
    model, tokens = model_and_prompts(TWO_LAYERS)
    yield Case("a planted circuit, whole", model, tokens, true_circuit(TWO_LAYERS))
    yield Case(
        "one of the two heads of a planted circuit", model, tokens, true_circuit(TWO_LAYERS)[1:]
    )
    yield Case("a circuit without heads", model, tokens, [])
    yield Case(
        "three heads of a random model", random_model(3, 4), random_tokens(5, 8),
        [(0, 1), (1, 3), (2, 0)], "mean",
    )  # fmt: skip
    yield Case(
        "five heads of a random model, by zeros", random_model(2, 5, seed=1),
        random_tokens(3, 9), [(0, 0), (0, 3), (1, 1), (1, 2), (1, 4)], "zero",
    )  # fmt: skip


@faithfulness.oracle
def _faithfulness_oracle(
    model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean"
) -> float:
    alone = run(model, tokens, all_but(model, circuit), mode)
    return 1 - float(kl(model(tokens), alone) / scale(model, tokens, mode))


@faithfulness.wrong(
    "the circuit itself is ablated, and the rest left in place. That asks whether the model can do "
    "without it; faithfulness asks whether the circuit can do without the rest."
)
def circuit_ablated(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    gone = run(model, tokens, circuit, mode)
    return 1 - float(kl(model(tokens), gone) / scale(model, tokens, mode))


@faithfulness.wrong("that is how much is lost. Take it from 1, so that 1 means all of it is there.")
def what_is_lost(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    return 1 - _faithfulness_oracle(model, tokens, circuit, mode)


@faithfulness.wrong(
    "the divergence is not divided by that of nothing. Half a nat is much for one model and little "
    "for another."
)
def in_nats(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    alone = run(model, tokens, all_but(model, circuit), mode)
    return 1 - float(kl(model(tokens), alone))


@faithfulness.wrong("the divergences run the wrong way: the model's own predictions come first.")
def faith_exchanged(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    logits, alone = model(tokens), run(model, tokens, all_but(model, circuit), mode)
    return 1 - float(kl(alone, logits) / kl(run(model, tokens, every(model), mode), logits))


@faithfulness.wrong("`mode` is not used; hand it to Ablation.")
def faith_always_mean(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    return _faithfulness_oracle(model, tokens, circuit, "mean")


@faithfulness.wrong(
    "you compared the circuit with nothing, not with the model: both divergences start from the "
    "model's own predictions."
)
def against_nothing(model: Any, tokens: Tensor, circuit: list[Head], mode: str = "mean") -> float:
    alone = run(model, tokens, all_but(model, circuit), mode)
    nothing = run(model, tokens, every(model), mode)
    return float(kl(alone, nothing) / scale(model, tokens, mode))


slip(
    faithfulness,
    "kept_between_0_and_1",
    "the result is kept between 0 and 1. A circuit may do worse than nothing, and that is worth "
    "knowing.",
    ("return 1 - float(alone / nothing)", "return min(max(1 - float(alone / nothing), 0.0), 1.0)"),
)


slip(
    faithfulness,
    "measured_from_nothing",
    "distances were measured from the ablated model, not from the model itself: D starts "
    "from the model's own predictions.",
    (
        "return 1 - float(alone / nothing)",
        "silent = ablation.logits(heads)\n"
        "    return float(divergence(silent, ablation.logits(outside)) / divergence(silent,"
        " logits))",
    ),
)


slip(
    faithfulness,
    "gain_in_nats",
    "this is how many nats the circuit brings back. Divide by what there is to bring back: "
    "the divergence of nothing.",
    ("return 1 - float(alone / nothing)", "return float(nothing - alone)"),
)


slip(
    faithfulness,
    "upside_down",
    "the fraction is upside down: the circuit's divergence over that of nothing.",
    ("return 1 - float(alone / nothing)", "return 1 - float(nothing / alone)"),
)


slip(
    faithfulness,
    "nothing_by_means",
    '"nothing" was ablated by means, whatever `mode` is. Both runs come from the same Ablation.',
    (
        "nothing = divergence(logits, ablation.logits(heads))",
        'nothing = divergence(logits, Ablation(model, tokens, "mean").logits(heads))',
    ),
)


slip(
    faithfulness,
    "nothing_is_the_outside_in",
    '"nothing" was taken as the circuit ablated alone. It is all heads ablated.',
    (
        "nothing = divergence(logits, ablation.logits(heads))",
        "nothing = divergence(logits, ablation.logits([head for head in heads if head in "
        "circuit]))",
    ),
)


slip(
    faithfulness,
    "squared",
    "the fraction was squared.",
    ("return 1 - float(alone / nothing)", "return 1 - float(alone / nothing) ** 2"),
)


slip(
    faithfulness,
    "share_of_equal_answers",
    "this is the share of positions at which the top symbol is the same. Compare whole "
    "predictions: 1 - D(circuit) / D(nothing).",
    (
        "return 1 - float(alone / nothing)",
        "return float((logits.argmax(-1) == ablation.logits(outside).argmax(-1)).float().mean())",
    ),
)


slip(
    faithfulness,
    "circuits_layers_only",
    "only heads in the circuit's own layers were ablated. Everything outside the circuit goes.",
    ("if head not in circuit]", "if head not in circuit and head[0] in {la for la, _ in circuit}]"),
)


slip(
    faithfulness,
    "divergence_of_the_circuit",
    "that is the circuit's divergence itself. Divide by that of nothing, and take it from 1.",
    (
        "1 - float(alone / nothing)",
        "float(alone)",
    ),
)
