"""Exercise `importance`."""

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
    true_circuit,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import Head

importance = Exercise(
    "importance",
    difficulty=4,
    importance=5,
    minutes=12,
    hints=[
        "First K = nothing: run the circuit (everything outside ablated), run it without `head` as "
        "well, and take the divergence between the two.",
        "Then the same with one other head of the circuit ablated in *both* runs. Loop over the "
        "others and keep the largest.",
        "for knocked_out in [[], *([other] for other in circuit if other != head)]: compare "
        "ablation.logits([*outside, *knocked_out]) with the same and `head`.",
    ],
    tolerance=ROUGH,
)


@importance.cases
def _importance_cases() -> Iterator[Case]:
    model, tokens = model_and_prompts(WITH_BACKUP)
    circuit, roles = true_circuit(WITH_BACKUP), heads_of(WITH_BACKUP)
    yield Case("a backup, silent until its head is gone", model, tokens, circuit, roles["backup"])
    idle = all_but(model, circuit)[0]
    yield Case("a head that does nothing", model, tokens, [*circuit, idle], idle)
    yield Case(
        "a random model", random_model(3, 4), random_tokens(5, 8),
        [(0, 1), (1, 3), (2, 0)], (1, 3),
    )  # fmt: skip
    yield Case(
        "a random model, by zeros", random_model(2, 5, seed=1), random_tokens(3, 9),
        [(1, 2), (0, 3), (1, 1), (0, 0)], (0, 3), "zero",
    )  # fmt: skip


def _effects_in(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str, outside: list[Head]
) -> list[float]:
    """Effect of a head for K = nothing, then for each other head of the circuit."""
    others: list[list[Head]] = [[], *([other] for other in circuit if other != head)]
    return [
        incomplete(model, tokens, [*outside, *gone], [*outside, *gone, head], mode)
        for gone in others
    ]


@importance.oracle
def _importance_oracle(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return max(_effects_in(model, tokens, circuit, head, mode, all_but(model, circuit)))


@importance.wrong(
    "only the whole circuit was tried (K = nothing). A backup shows itself only when the head it "
    "stands in for is knocked out."
)
def alone_only(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return _effects_in(model, tokens, circuit, head, mode, all_but(model, circuit))[0]


@importance.wrong("that is the mean over K. One K that shows an effect is enough: the largest.")
def mean_over_k(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    effects = _effects_in(model, tokens, circuit, head, mode, all_but(model, circuit))
    return sum(effects) / len(effects)


@importance.wrong("that is the smallest over K; a head matters if it does so *somewhere*.")
def smallest(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return min(_effects_in(model, tokens, circuit, head, mode, all_but(model, circuit)))


@importance.wrong("that is the sum over K; take the largest.")
def sum_over_k(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return sum(_effects_in(model, tokens, circuit, head, mode, all_but(model, circuit)))


@importance.wrong(
    "the heads outside the circuit are still there. Here the circuit stands alone: ablate them in "
    "both runs."
)
def in_the_model(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    return max(_effects_in(model, tokens, circuit, head, mode, []))


@importance.wrong(
    "you compare with the whole model. Compare the circuit without K with the circuit without K "
    "and `head`, so that only `head` makes the difference."
)
def compared_with_the_model(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    outside = all_but(model, circuit)
    others: list[list[Head]] = [[], *([other] for other in circuit if other != head)]
    return max(incomplete(model, tokens, [], [*outside, *gone, head], mode) for gone in others)


@importance.wrong("the divergences are not divided by that of nothing (all heads ablated).")
def importance_in_nats(
    model: Any, tokens: Tensor, circuit: list[Head], head: Head, mode: str = "mean"
) -> float:
    share = _importance_oracle(model, tokens, circuit, head, mode)
    return share * float(scale(model, tokens, mode))


slip(
    importance,
    "never_alone",
    "the whole circuit (K = no head) is missing.",
    ("[[], *(", "[*("),
)


slip(
    importance,
    "difference_of_distances",
    "this is how much *further* the circuit gets from the whole model. Asked is how far its "
    "predictions move when `head` goes: the divergence between the two runs.",
    (
        "effects.append(float(divergence(with_head, without_head) / nothing))",
        "logits = model(tokens)\n"
        "        effects.append(float((divergence(logits, without_head) -"
        " divergence(logits, with_head)) / nothing))",
    ),
)


slip(
    importance,
    "importance_exchanged",
    "the two runs are exchanged: the circuit with the head comes first.",
    (
        "effects.append(float(divergence(with_head, without_head) / nothing))",
        "effects.append(float(divergence(without_head, with_head) / nothing))",
    ),
)


slip(
    importance,
    "head_alone",
    "the head is left alone when it should go: the run without it ablates the outside, K and "
    "`head`.",
    (
        "without_head = ablation.logits([*outside, *knocked_out, head])",
        "without_head = ablation.logits([h for h in heads if h != head])",
    ),
)


slip(
    importance,
    "first_other_only",
    "only the first other head was tried as K. Try each of them.",
    (
        "([other] for other in circuit if other != head)",
        "([other] for other in circuit[:2] if other != head)",
    ),
)


slip(
    importance,
    "head_stays",
    "K is never felt: `head` goes from the circuit with K in it, compared with the circuit "
    "without K.",
    (
        "without_head = ablation.logits([*outside, *knocked_out, head])",
        "without_head = ablation.logits([*outside, head])",
    ),
)


slip(
    importance,
    "always_mean",
    "`mode` is not used; hand it to Ablation.",
    ("Ablation(model, tokens, mode)", "Ablation(model, tokens)"),
)


slip(
    importance,
    "share_of_the_circuit",
    "the effects were divided by that of the circuit. Divide by the divergence of nothing "
    "from the *model*.",
    (
        "effects.append(float(divergence(with_head, without_head) / nothing))",
        "whole = divergence(ablation.logits(outside), ablation.logits(heads))\n"
        "        effects.append(float(divergence(with_head, without_head) / whole))",
    ),
)


slip(
    importance,
    "median_over_k",
    "that is the median over K. One K that shows an effect is enough: the largest.",
    ("return max(effects)", "import statistics\n\n    return statistics.median(effects)"),
)
