"""Exercise `random_composition_baseline`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance, same
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

random_composition_baseline = Exercise(
    "random_composition_baseline",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "One pair of heads needs eight matrices, all independent of each other. Draw them with "
        "torch.randn and the generator, so that the seed decides.",
        "torch.randn(3, d_model, d_head, generator=generator) unpacks into W_Q, W_K and W_V. W_O "
        "is the other way round: [d_head, d_model].",
        'Collect composition_score("K", random_head(), random_head()) n times in a list.',
    ],
    tolerance=Tolerance(atol=0.0, rtol=0.35),  # of the mean and spread of 60 draws or so
)


@random_composition_baseline.cases
def _baseline_cases() -> Iterator[Case]:
    yield Case("heads of one dimension in two: |cos| of the angle between two arrows", 2, 1, 50, 0)
    yield Case("heads of one dimension in ten", 10, 1, 60, 1)
    yield Case("heads of 6 dimensions in 16", 16, 6, 60, 2)
    yield Case("heads of 4 dimensions in 30", 30, 4, 50, 3)


def _drawn(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    """Batched, from another stream of random numbers than the reference."""
    generator = torch.Generator().manual_seed(seed + 12345)
    W_Q, W_K, W_V, W_O = torch.randn(4, n, d_model, d_head, generator=generator)
    OV, KQ = W_V @ W_O.mT, W_K @ W_Q.mT
    return (OV @ KQ).norm(dim=(-2, -1)) / OV.norm(dim=(-2, -1)) / KQ.norm(dim=(-2, -1))


@random_composition_baseline.observe
def _mean_and_spread(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> dict[str, float]:
    scores = torch.as_tensor(scores).double()
    return {
        "the mean of the scores": scores.mean().item(),
        "their spread": scores.std(correction=0).item(),
    }


@random_composition_baseline.oracle
def _baseline_oracle(d_model: int, d_head: int, n: int, seed: int) -> dict[str, float]:
    return _mean_and_spread(_drawn(d_model, d_head, 4000, seed), d_model, d_head, n, seed)


@random_composition_baseline.prop
def is_a_tensor(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    if isinstance(scores, Tensor):
        return None
    return f"expected a torch tensor, got a {type(scores).__name__}: torch.stack makes one of it"


@random_composition_baseline.prop
def one_score_a_pair(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    shape = list(torch.as_tensor(scores).shape)
    return None if shape == [n] else f"expected one score for each of n = {n} pairs, got {shape}"


@random_composition_baseline.prop
def not_the_formula(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    scores = torch.as_tensor(scores).double()
    if (scores - d_model**-0.5).abs().max() > 1e-6:
        return None
    return f"all {n} scores are exactly 1 / sqrt(d_model)"


@random_composition_baseline.prop
def scores_differ(scores: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    scores = torch.as_tensor(scores).double()
    if scores.std() > 1e-3 * scores.mean():
        return None
    return f"all {n} scores are the same number, {scores[0].item():.3f}"


@random_composition_baseline.trial
def spread_as_they_should(attempt: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    """Scores of 1 in 2 dimensions are |cos| of an even angle: spread 0.31."""
    if seed:
        return None
    scores = torch.as_tensor(attempt(d_model, d_head, 250, seed)).double().flatten()
    wanted = _drawn(d_model, d_head, 4000, seed).double()
    if abs(scores.std() - wanted.std()) > 0.1 * wanted.std():
        return (
            f"250 scores spread by {scores.std():.3f} around their mean; independent pairs of "
            f"heads of normal numbers by {wanted.std():.3f}"
        )
    return None


@random_composition_baseline.trial
def same_seed_same_scores(attempt: Any, d_model: int, d_head: int, n: int, seed: int) -> str | None:
    if seed:
        return None  # once is enough
    first, again = (torch.as_tensor(attempt(d_model, d_head, 3, seed)) for _ in range(2))
    return None if same(first, again) else "the same seed gave other scores when called again"


@random_composition_baseline.trial
def other_seed_other_scores(
    attempt: Any, d_model: int, d_head: int, n: int, seed: int
) -> str | None:
    if seed:
        return None
    one, other = (torch.as_tensor(attempt(d_model, d_head, 3, s)) for s in (seed, seed + 1))
    if not same(one, other):
        return None
    return f"seeds {seed} and {seed + 1} gave the same scores: let the seed start the generator"


@random_composition_baseline.wrong(
    "the seed is not used. Draw from a generator that starts from it, so that anyone can draw the "
    "same numbers again, or others."
)
def seed_unused(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, n, 0)


@random_composition_baseline.wrong(
    "you returned the mean. Return all n scores, so that their spread can be seen as well."
)
def mean_only(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, n, seed).mean()


@random_composition_baseline.wrong(
    "torch.rand draws numbers between 0 and 1. Their mean is not zero, so all heads share one "
    "large direction and seem to compose. Use torch.randn."
)
def uniform_weights(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    W_Q, W_K, W_V, W_O = torch.rand(4, n, d_model, d_head, generator=generator)
    OV, KQ = W_V @ W_O.mT, W_K @ W_Q.mT
    return (OV @ KQ).norm(dim=(-2, -1)) / OV.norm(dim=(-2, -1)) / KQ.norm(dim=(-2, -1))


@random_composition_baseline.wrong(
    "all n scores are the same number: the heads were drawn once (or the generator was made anew "
    "for every pair). Draw new heads for each pair from one generator."
)
def one_pair_only(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, 1, seed).expand(n)


@random_composition_baseline.wrong(
    "that is the formula, n times. Draw random heads and measure: the question is whether the "
    "formula holds."
)
def formula_itself(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return torch.full((n,), d_model**-0.5)


@random_composition_baseline.wrong(
    "these are squares of scores. The score is a ratio of norms, not of squared norms."
)
def squares(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    return _drawn(d_model, d_head, n, seed) ** 2


@random_composition_baseline.wrong(
    "the scores are not divided by the norms of OV and QK; use composition_score, which does it."
)
def raw_norms(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    W_Q, W_K, W_V, W_O = normal(4, n, d_model, d_head, seed=seed)
    return (W_V @ W_O.mT @ W_K @ W_Q.mT).norm(dim=(-2, -1))


@random_composition_baseline.wrong(
    "the two heads of a pair share weights: the matrix that writes is also the one that reads. "
    "Draw source and target independently."
)
def shared_weights(d_model: int, d_head: int, n: int, seed: int) -> Tensor:
    W_Q, W_V, W_O = normal(3, n, d_model, d_head, seed=seed)
    OV, KQ = W_V @ W_O.mT, W_O @ W_Q.mT
    return (OV @ KQ).norm(dim=(-2, -1)) / OV.norm(dim=(-2, -1)) / KQ.norm(dim=(-2, -1))


slip(
    random_composition_baseline,
    "only_queries_keys_values_uniform",
    "W_Q, W_K and W_V are drawn evenly from 0 to 1, so that they share one large direction. "
    "Draw them with torch.randn.",
    (
        "torch.randn(3",
        "torch.rand(3",
    ),
)
