"""Exercise `aggregate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.behaviour import (
    other_basis,
    percent,
    run,
    sequences,
    strays,
    summary,
    unusable,
)
from circuits_course.checks.c02_attention_as_computation.shared import (
    GAP,
    feature_values,
    position_head,
    single,
    written_result,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights, small_basis

aggregate = Exercise(
    "aggregate",
    difficulty=3,
    importance=4,
    minutes=10,
    tolerance=Tolerance(atol=0.02, rtol=0.0),
    hints=[
        "With W_Q = 0 every score is 0, and the softmax gives every visible position the same "
        "weight: that is already a mean. What is still wrong with it?",
        "BOS is among the positions and counts as a 0. One query-key pair is enough to be rid of "
        "it: a query that is the same everywhere, and a key that only BOS has.",
        "The direction `one` is 1 at every position, basis.token[0] only at BOS. Give their "
        "product a large negative score; d_head is 1.",
    ],
)


@aggregate.cases
def _aggregate_cases() -> Iterator[Case]:
    yield Case("the small basis, feature 'vowel'", small_basis(), "vowel")
    yield Case("the small basis, feature 'value'", small_basis(), "value")
    yield Case("a rotated basis with other symbols, feature 'round'", other_basis(), "round")
    yield Case("another rotated basis, feature 'height'", other_basis(5), "height")


def _running_means(basis: Basis, feature: str) -> Tensor:
    values = feature_values(basis, feature, sequences(basis))
    means = [[sum(row[1 : p + 1]) / p for p in range(1, len(row))] for row in values.tolist()]
    return torch.tensor(means)


@aggregate.prop
def _aggregate_fits(head: Any, basis: Basis, feature: str) -> str | None:
    return unusable(basis, head)


@aggregate.prop
def _aggregate_writes(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    return strays(basis, run(basis, head).writes[0], "result")


@aggregate.prop
def _aggregate_means(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    wanted, written = _running_means(basis, feature), written_result(head, basis)
    error = (wanted - written).abs()
    off = error > 0.02
    if not off.any():
        return None
    b, q = divmod(int(error.argmax()), error.shape[1])
    values = feature_values(basis, feature, sequences(basis))[b, 1 : q + 2].tolist()
    listed = ", ".join(f"{value:g}" for value in values)
    scale = float((wanted * written).sum() / wanted.square().sum())
    off_by = (
        f". It is {scale:.2f} times the mean everywhere" if _scaled(wanted, written, scale) else ""
    )
    return (
        f"after symbols whose {feature!r} is {listed} the head writes {written[b, q]:.2f} into "
        f"'result'; expected {wanted[b, q]:.2f}. Off at {percent(off)} of the positions{off_by}"
    )


def _scaled(wanted: Tensor, written: Tensor, scale: float) -> bool:
    return abs(scale) > 0.01 and bool((scale * wanted - written).abs().max() < 0.02)


@aggregate.observe
def _aggregate_seen(head: HeadWeights, basis: Basis, feature: str) -> Tensor:
    return summary(basis, run(basis, head).writes[0][:, 1:], written_result(head, basis))


def _mean_head(basis: Basis, feature: str, bos_score: float) -> HeadWeights:
    return HeadWeights(
        single(bos_score * basis.direction("one")),
        single(basis.token[0]),
        single(basis.direction(feature)),
        basis.direction("result")[None],
    )


@aggregate.wrong(
    "BOS is counted as one more value of 0: at position p you divide by p + 1 instead of p. Give "
    "it a score so low that the softmax leaves it out."
)
def counts_bos(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, 0.0)


@aggregate.wrong(
    "the score that should keep BOS out is too small: a weight of exp(score) is left to it. Make "
    "the score more negative."
)
def bos_half_out(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, -1.0)


@aggregate.wrong("the sign is turned: BOS gets all the attention, and it has no feature.")
def only_bos(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, GAP)


@aggregate.wrong(
    "the head attends to its own position only. A mean wants even attention over all positions so "
    "far."
)
def only_itself(basis: Basis, feature: str) -> HeadWeights:
    head = position_head(basis, 0)
    W_V, W_O = _mean_head(basis, feature, 0.0)[2:]
    return head._replace(W_V=W_V, W_O=W_O)


@aggregate.wrong(
    "the head attends only where the feature is on, so that the mean is taken over those alone. "
    "All positions count the same, the zeros too."
)
def only_where_on(basis: Basis, feature: str) -> HeadWeights:
    head = _mean_head(basis, feature, 0.0)
    return head._replace(
        W_Q=single(GAP * basis.direction("one")), W_K=single(basis.direction(feature))
    )


@aggregate.wrong(
    "the result is multiplied up. Attention weights sum to 1, so what a head gathers is already a "
    "mean; it cannot sum."
)
def made_a_sum(basis: Basis, feature: str) -> HeadWeights:
    head = _mean_head(basis, feature, -GAP)
    return head._replace(W_O=basis.n_ctx * head.W_O)


@aggregate.wrong("the mean is written back into the feature that is read; it goes to `result`.")
def into_the_feature(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, feature, -GAP)._replace(W_O=basis.direction(feature)[None])


@aggregate.wrong("`feature` is not used: the head averages the first feature whichever is asked.")
def first_feature(basis: Basis, feature: str) -> HeadWeights:
    return _mean_head(basis, next(iter(basis.features)), -GAP)


slip(
    aggregate,
    "looks_at_bos",
    "the sign is turned: BOS gets all the attention, and holds no feature. Its score has to lie "
    "far below the others.",
    ("-gap", "gap"),
)


slip(
    aggregate,
    "bos_not_low_enough",
    "BOS is not low enough: it keeps part of the attention, which pulls the mean down. Take "
    "`sharpness` for a share near 1.",
    ("0.999", "0.6"),
)


slip(
    aggregate,
    "reads_one",
    "the values read `one`, which is 1 everywhere, so the mean is 1 as well. Let W_V read "
    "the feature.",
    ("W_V = basis.direction(feature)", 'W_V = basis.direction("one")'),
)
