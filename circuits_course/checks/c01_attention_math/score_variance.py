"""Exercise `score_variance`."""

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

score_variance = Exercise(
    "score_variance",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "The query of sample i meets the key of sample i: n_samples scores in all, each the sum of "
        "d_head products.",
        "Elementwise product, then a sum over the last axis. If `scaled`, divide by sqrt(d_head) "
        "before you take the variance.",
        "`(q * k).sum(-1)` are the scores; `.var().item()` makes one Python number of them.",
    ],
    tolerance=Tolerance(atol=0.0, rtol=0.2),
)


@score_variance.cases
def _variance_cases() -> Iterator[Case]:
    yield Case("64 numbers a vector, not scaled", 64, 4000, False, 0)
    yield Case("64 numbers a vector, scaled", 64, 4000, True, 0)
    yield Case("9 numbers a vector, not scaled", 9, 4000, False, 1)
    yield Case("9 numbers a vector, scaled", 9, 4000, True, 2)
    yield Case("200 numbers a vector, not scaled", 200, 2500, False, 3)
    yield Case("200 numbers a vector, scaled", 200, 2500, True, 4)


@score_variance.oracle
def _variance_oracle(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    """A sum of d_head products, each of variance 1 and independent of the others."""
    return 1.0 if scaled else float(d_head)


LAWS = (0.0, 0.5, 1.0, 1.5, 2.0, -0.5, -1.0, -1.5, -2.0)


@score_variance.observe
def _law(output: Any, d_head: int, n_samples: int, scaled: bool, seed: int) -> Any:
    """The power of d_head that the measured number stands for; the number itself if none.

    Samples differ from one implementation to the next, what they estimate does not.
    """
    if isinstance(output, Tensor) and output.ndim:
        return output
    value = float(output)
    near = [d_head**law for law in LAWS if abs(value / d_head**law - 1) < 0.15]
    return near[0] if near else value


def _draws(attempt: Any, d_head: int, scaled: bool, *seeds: int) -> list[float]:
    """Few samples each, so that two seeds differ; nothing where the output is no number."""
    drawn = [attempt(d_head, 50, scaled, seed) for seed in seeds]
    return [] if any(isinstance(d, Tensor) and d.ndim for d in drawn) else list(map(float, drawn))


@score_variance.trial
def _same_seed_same_number(
    attempt: Any, d_head: int, n_samples: int, scaled: bool, seed: int
) -> str | None:
    drawn = _draws(attempt, d_head, scaled, seed, seed)
    if not drawn or same(drawn[0], drawn[1]):
        return None
    return "the same seed gave {:.3f} and, called again, {:.3f}".format(*drawn)


@score_variance.trial
def _other_seed_other_number(
    attempt: Any, d_head: int, n_samples: int, scaled: bool, seed: int
) -> str | None:
    drawn = _draws(attempt, d_head, scaled, seed, seed + 1)
    if not drawn or not same(drawn[0], drawn[1]):
        return None
    return f"seeds {seed} and {seed + 1} gave exactly the same number, {drawn[0]:.3f}"


def _spread(attempt: Any) -> tuple[float, str]:
    """One number a vector: the variance of n products is off by sqrt(8 / n) or so of itself; that
    of n normal numbers, of which none is multiplied, by sqrt(2 / n). Over that, and in words."""
    n = 400
    found = torch.tensor([float(attempt(1, n, False, other)) for other in range(80)])
    words = (
        f"with one number a vector and {n} pairs, variances of products q k differ from seed to "
        f"seed by about {(8 / n) ** 0.5:.2f}, and yours by {float(found.std()):.2f}"
    )
    return float(found.std()) * (n / 8) ** 0.5, words


@score_variance.trial
def _products_spread_enough(
    attempt: Any, d_head: int, n_samples: int, scaled: bool, seed: int
) -> str | None:
    if (d_head, scaled) != (64, False):
        return None  # once is enough
    spread, words = _spread(attempt)
    return words if spread <= 0.65 else None


@score_variance.trial
def _products_do_not_spread_too_much(
    attempt: Any, d_head: int, n_samples: int, scaled: bool, seed: int
) -> str | None:
    if (d_head, scaled) != (64, False):
        return None
    spread, words = _spread(attempt)
    return words if spread >= 1.5 else None


def _samples(d_head: int, n_samples: int, seed: int) -> tuple[Tensor, Tensor]:
    q, k = normal(2, n_samples, d_head, seed=seed)
    return q, k


def _sampled_scores(d_head: int, n_samples: int, scaled: bool, seed: int) -> Tensor:
    q, k = _samples(d_head, n_samples, seed)
    return (q * k).sum(-1) / (d_head**0.5 if scaled else 1.0)


@score_variance.wrong(
    "this is the standard deviation. The variance is its square; `.var()` gives it."
)
def standard_deviation(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, scaled, seed).std().item()


@score_variance.wrong(
    "`scaled` made no difference to your result. Divide the scores by sqrt(d_head) if it is True."
)
def never_scaled(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, False, seed).var().item()


@score_variance.wrong(
    "you always divided by sqrt(d_head). Do that only if `scaled` is True: the point is to compare."
)
def always_scaled(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, True, seed).var().item()


@score_variance.wrong(
    "you divided by d_head. The variance then shrinks with d_head; divide by its square root."
)
def scaled_too_much(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    scores = _sampled_scores(d_head, n_samples, False, seed)
    return (scores / d_head if scaled else scores).var().item()


@score_variance.wrong(
    "this is the variance of the single products. A score is the sum of d_head of them: sum over "
    "the last axis first."
)
def products_not_summed(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    q, k = _samples(d_head, n_samples, seed)
    return (q * k / (d_head**0.5 if scaled else 1.0)).var().item()


@score_variance.wrong(
    "scaled and not scaled are exchanged: divide if `scaled` is True, not if it is False."
)
def scaled_exchanged(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return _sampled_scores(d_head, n_samples, not scaled, seed).var().item()


@score_variance.wrong(
    "you returned the scores themselves. Return one number, their variance: `.var().item()`."
)
def scores_returned(d_head: int, n_samples: int, scaled: bool, seed: int) -> Tensor:
    return _sampled_scores(d_head, n_samples, scaled, seed)


@score_variance.wrong(
    "the seed is not used, so every call draws other numbers. Hand torch.randn a generator that "
    "was seeded with it."
)
def seed_not_used(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    scores = (torch.randn(n_samples, d_head) * torch.randn(n_samples, d_head)).sum(-1)
    return (scores / d_head**0.5 if scaled else scores).var().item()


@score_variance.wrong(
    "this number is told, not measured (or always begins from the same seed). Draw queries and "
    "keys from the seed, and measure."
)
def told_not_measured(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    return 1.0 if scaled else float(d_head)


@score_variance.wrong(
    "every query met every key. The pairs are then not independent: query i meets key i "
    "alone, (q * k).sum(-1)."
)
def every_pair(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    q, k = _samples(d_head, n_samples, seed)
    return (q @ k.mT / (d_head**0.5 if scaled else 1.0)).var().item()


@score_variance.wrong(
    "one query met all keys, so the result hangs on that query's length. Each sample has a "
    "query of its own."
)
def one_query(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    q, k = _samples(d_head, n_samples, seed)
    return (k @ q[0] / (d_head**0.5 if scaled else 1.0)).var().item()


@score_variance.wrong(
    "you summed over the samples. A score is a sum over the d_head numbers of one query and "
    "one key, the last axis."
)
def summed_over_samples(d_head: int, n_samples: int, scaled: bool, seed: int) -> float:
    q, k = _samples(d_head, n_samples, seed)
    return ((q * k).sum(0) / (d_head**0.5 if scaled else 1.0)).var().item()


slip(
    score_variance,
    "each_with_itself",
    "each query met itself: q * q, which is never negative. Query i meets key i.",
    (
        "(q * k).sum(-1)",
        "(q * q).sum(-1)",
    ),
)


slip(
    score_variance,
    "even_draws",
    "the numbers are drawn evenly from 0 to 1. Draw them from a normal distribution: torch.randn.",
    (
        "torch.randn(2",
        "torch.rand(2",
    ),
)


slip(
    score_variance,
    "divided_by_what_was_found",
    "the scores were divided by their own standard deviation, so that 1 comes out whatever they "
    "are. Divide by sqrt(d_head), and measure.",
    (
        "scores / d_head**0.5",
        "scores / scores.std()",
    ),
)
