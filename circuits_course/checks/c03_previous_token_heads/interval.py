"""Exercise `interval`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise, Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

interval = Exercise(
    "interval",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "You cannot measure another 12 sequences, but you can pretend: draw 12 of your 12 values, "
        "each time from all of them, so that some come twice and some not at all.",
        "torch.randint(n, (n_resamples, n), generator=generator) holds the places of the drawn "
        "values, one draw a row.",
        "values[drawn] is [n_resamples, n]; the mean of each row is what you would have measured.",
    ],
    tolerance=Tolerance(atol=0.05, rtol=0.0),
)


def _measured(n: int, mean: float, spread: float, seed: int) -> Tensor:
    return mean + spread * normal(n, seed=seed)


@interval.cases
def _interval_cases() -> Iterator[Case]:
    yield Case("24 values around 5", _measured(24, 5.0, 1.2, seed=1), 2000, 0)
    yield Case("60 values around -2", _measured(60, -2.0, 2.0, seed=2), 3000, 1)
    yield Case("16 values around 0", _measured(16, 0.0, 1.0, seed=3), 2000, 2)
    yield Case("two groups of values that lie far apart",
               torch.cat([_measured(15, -1.0, 0.1, seed=4), _measured(15, 1.0, 0.1, seed=5)]),
               2500, 3)  # fmt: skip
    few = torch.zeros(20).index_fill(0, torch.tensor([7]), 10.0)
    yield Case("one value of 10 among twenty, the others 0", few, 4000, 4)


@interval.oracle
def _interval_oracle(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    rng, n = random.Random(12345), len(values)
    means = sorted(sum(rng.choices(values.tolist(), k=n)) / n for _ in range(4000))
    return float(values.mean()), means[99], means[3899]


@interval.trial
def the_mean_comes_first(attempt: Any, values: Tensor, n_resamples: int, seed: int) -> str | None:
    first, second, _ = map(float, attempt(values, 3, seed))
    off = [abs(one - float(values.mean())) / float(values.std()) for one in (first, second)]
    return "the mean stands second: (mean, low, high)" if off[1] < 1e-3 < off[0] else None


@interval.trial
def the_mean_is_exact(attempt: Any, values: Tensor, n_resamples: int, seed: int) -> str | None:
    """Of few draws the mean of means is somewhere else."""
    mean = float(attempt(values, 3, seed)[0])
    if abs(mean - float(values.mean())) < 1e-3 * float(values.std()):
        return None
    return (
        f"the mean of the values is {values.mean():.3f}; yours, of 3 draws, is {mean:.3f}: the "
        "values' own mean needs no draws"
    )


@interval.trial
def heeds_the_resamples(attempt: Any, values: Tensor, n_resamples: int, seed: int) -> str | None:
    _, low, high = map(float, attempt(values, 1, seed))
    return None if low == high else "of one resample, both ends are its mean; yours differ"


@interval.trial
def cuts_off_as_much_at_both_ends(
    attempt: Any, values: Tensor, n_resamples: int, seed: int
) -> str | None:
    """Of many values the ends lie where those of a normal distribution do, 1.96 errors away."""
    if seed:
        return None  # once is enough
    many = normal(300, seed=9)
    mean, low, high = map(float, attempt(many, 8000, 1))
    error = float(many.std()) / len(many) ** 0.5
    off = (mean - low) / error, (high - mean) / error
    if all(abs(distance - 1.96) < 0.12 for distance in off):
        return None
    return (
        f"of 300 normal numbers the ends should lie about 1.96 standard errors from the mean, "
        f"yours lie {off[0]:.2f} below and {off[1]:.2f} above"
    )


@interval.trial
def heeds_the_seed(attempt: Any, values: Tensor, n_resamples: int, seed: int) -> str | None:
    if len(values.unique()) < 10:
        return None  # few values have few means
    drawn = [tuple(map(float, attempt(values, 20, s))) for s in (seed, seed, seed + 1)]
    if drawn[0] != drawn[1]:
        return "the same seed gave other ends when called again"
    return "two seeds gave the same ends for 20 resamples" if drawn[0] == drawn[2] else None


def _ends(values: Tensor, means: Tensor, share: float = 0.95) -> tuple[float, float, float]:
    tail = (1 - share) / 2
    low, high = means.quantile(torch.tensor([tail, 1 - tail])).tolist()
    return float(values.mean()), low, high


def _resampled(values: Tensor, n_resamples: int, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return values[torch.randint(len(values), (n_resamples, size), generator=generator)]


@interval.wrong(
    "this is where 95 % of the single values lie. The question is how far their mean could be off: "
    "take the mean of each draw, over its n values."
)
def spread_of_values(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    return _ends(values, _resampled(values, n_resamples, len(values), seed).flatten())


@interval.wrong(
    "you averaged over the draws instead of over the values of each draw: one draw holds n values, "
    "and its mean is one of n_resamples means."
)
def mean_over_draws(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    return _ends(values, _resampled(values, n_resamples, len(values), seed).mean(0))


@interval.wrong(
    "you drew without replacement, so that every draw holds all values and has the same mean. Each "
    "value is drawn from all n, some more than once: torch.randint, not randperm."
)
def without_replacement(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    shuffled = normal(n_resamples, len(values), seed=seed).argsort(1)
    return _ends(values, values[shuffled].mean(1))


@interval.wrong(
    "your draws are only half as large as the data. A smaller sample has a wider spread: draw as "
    "many values as there are."
)
def half_as_many(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    return _ends(values, _resampled(values, n_resamples, len(values) // 2, seed).mean(1))


@interval.wrong(
    "these are one standard error on each side, an interval of 68 %. For 95 % take the quantiles "
    "0.025 and 0.975."
)
def one_standard_error(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    mean, error = float(values.mean()), float(values.std() / len(values) ** 0.5)
    return mean, mean - error, mean + error


@interval.wrong("the mean comes first: (mean, low, high).")
def mean_in_the_middle(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    mean, low, high = _interval_oracle(values, n_resamples, seed)
    return low, mean, high


@interval.wrong("these are the half-widths. Return the ends themselves, mean minus and mean plus.")
def half_widths(values: Tensor, n_resamples: int, seed: int) -> tuple[float, float, float]:
    mean, low, high = _interval_oracle(values, n_resamples, seed)
    return mean, mean - low, high - mean


slip(
    interval,
    "ninety_per_cent",
    "between these ends lie 90 % of the means. For 95 % cut 2.5 % off at each side.",
    ("0.025, 0.975", "0.05, 0.95"),
)


slip(
    interval,
    "quantiles_of_values",
    "these are quantiles of the values. The interval is about their mean, which moves much less: "
    "take the quantiles of the means.",
    ("means.quantile", "values.quantile"),
)


slip(
    interval,
    "as_wide_as_the_values",
    "the interval is as wide as the values spread. The mean of n values spreads less by a factor "
    "of sqrt(n).",
    (
        "low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()",
        "spread = 1.96 * values.std().item()\n    low, high = values.mean().item() - spread, "
        "values.mean().item() + spread",
    ),
)


slip(
    interval,
    "medians",
    "these are medians of the draws. The interval is about the mean: take the mean of each draw.",
    ("values[drawn].mean(1)", "values[drawn].median(1).values"),
)


slip(
    interval,
    "outermost_means",
    "these are the smallest and the largest mean, which move further apart with every draw. "
    "Take the quantiles 0.025 and 0.975.",
    ("means.quantile(torch.tensor([0.025, 0.975])).tolist()", "means.aminmax()"),
    ("values.mean().item(), low, high", "values.mean().item(), low.item(), high.item()"),
)


slip(
    interval,
    "ninety_nine_per_cent",
    "between these ends lie 99 % of the means. For 95 % cut 2.5 % off at each side.",
    ("[0.025, 0.975]", "[0.005, 0.995]"),
)


slip(
    interval,
    "one_value_a_draw",
    "each draw holds one value, whose spread is that of the values. Draw as many as there are.",
    ("(n_resamples, n)", "(n_resamples, 1)"),
)


slip(
    interval,
    "ends_exchanged",
    "the ends are exchanged: (mean, low, high).",
    ("values.mean().item(), low, high", "values.mean().item(), high, low"),
)


slip(
    interval,
    "mean_of_the_means",
    "the mean of the draws' means was returned. The mean is that of the values themselves.",
    (
        "return values.mean()",
        "return means.mean()",
    ),
)


slip(
    interval,
    "normal_in_place_of_draws",
    "a normal distribution was laid around the mean. The interval should come from drawing the "
    "values themselves, which need not be normal.",
    (
        "means = values[drawn].mean(1)",
        "error = values.std() / n**0.5\n"
        "    means = values.mean() + error * torch.randn(n_resamples, generator=generator)",
    ),
)


slip(
    interval,
    "each_value_once_a_draw",
    "no value comes twice in a draw. Draw with replacement: torch.randint.",
    (
        "torch.randint(n, (n_resamples, n), generator=generator)",
        "torch.stack([torch.randperm(n, generator=generator)[: n // 2 + 1] for _ in "
        "range(n_resamples)])",
    ),
)


slip(
    interval,
    "seed_not_heeded",
    "the generator starts from 0 whatever `seed` is.",
    (
        "manual_seed(seed)",
        "manual_seed(0)",
    ),
)


slip(
    interval,
    "number_of_draws_not_heeded",
    "the number of draws is fixed: draw `n_resamples` times.",
    (
        "(n_resamples, n)",
        "(2000, n)",
    ),
)


slip(
    interval,
    "distances_from_the_mean",
    "the ends were given as distances from the mean. Give the ends themselves.",
    (
        ", low, high",
        ", low - values.mean().item(), high - values.mean().item()",
    ),
)
