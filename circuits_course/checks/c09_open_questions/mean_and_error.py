"""Exercise `mean_and_error`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

mean_and_error = Exercise(
    "mean_and_error",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=[
        "Two numbers are asked for. How far apart the runs lie is their standard deviation; how "
        "far off their *mean* may be gets smaller with more runs. By how much?",
        "The standard error of a mean of n runs is the standard deviation over the root of n.",
        "runs.std() divides by n - 1 already; then / len(runs) ** 0.5.",
    ],
)


@mean_and_error.cases
def _error_cases() -> Iterator[Case]:
    yield Case("three runs, 1, 2 and 6", [1.0, 2.0, 6.0])
    yield Case("five runs that agree", [0.5] * 5)
    yield Case("four runs of which one went wrong", [0.0, 0.0, 0.0, 4.0])
    yield Case("runs below and above 0", [-2.0, 1.0, -3.5, 0.5])
    yield Case("changes of a thousandth", [-0.002, -0.001, 0.001, -0.004, 0.0005])
    for seed, count in enumerate((3, 5, 10)):
        yield Case("random runs", (5 + normal(count, seed=seed)).tolist())


def _spread(values: list[float], freedom: int = 1) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - freedom))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@mean_and_error.observe
def _as_numbers(output: Any, values: list[float]) -> list[float]:
    mean, error = output
    return [float(mean), float(error)]


@mean_and_error.oracle
def _error_oracle(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values) / math.sqrt(len(values))]


@mean_and_error.wrong(
    "that is the standard deviation, which says how far apart the runs lie. The error of their "
    "*mean* is smaller: divide by the root of the number of runs."
)
def standard_deviation(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values)]


@mean_and_error.wrong(
    "the standard deviation was divided by n. The mean was fitted to these same runs, so the "
    "sample standard deviation divides by n - 1 (torch: correction=1)."
)
def divides_by_n(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values, freedom=0) / math.sqrt(len(values))]


@mean_and_error.wrong(
    "you divided by the number of runs, not by its root: errors shrink with the root of n."
)
def no_root(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values) / len(values)]


@mean_and_error.wrong(
    "that is a variance, in squared units. Take its root before you divide by the root of n."
)
def variance(values: list[float]) -> list[float]:
    return [_mean(values), _spread(values) ** 2 / len(values)]


@mean_and_error.wrong(
    "that is half the distance between the largest and the smallest run, which grows with the "
    "number of runs. The standard error shrinks."
)
def half_range(values: list[float]) -> list[float]:
    return [_mean(values), (max(values) - min(values)) / 2]


@mean_and_error.wrong("that is the median. The mean is asked for, outliers and all.")
def median(values: list[float]) -> list[float]:
    middle = torch.tensor(values, dtype=torch.float64).quantile(0.5).item()
    return [middle, _spread(values) / math.sqrt(len(values))]


@mean_and_error.wrong("error and mean are exchanged: the mean comes first.")
def error_first(values: list[float]) -> list[float]:
    return _error_oracle(values)[::-1]


slip(
    mean_and_error,
    "variance_for_deviation",
    "this divides the variance. The error is the standard deviation over the root of n.",
    ("runs.std(correction=1)", "runs.var(correction=1)"),
)


slip(
    mean_and_error,
    "half_an_interval",
    "this is half a 95 % interval (1.96 errors). Asked for is one standard error.",
    ("error.item()", "1.96 * error.item()"),
)


slip(
    mean_and_error,
    "root_of_n_minus_one",
    "n - 1 belongs into the standard deviation; that is then divided by the root of n.",
    ("len(runs) ** 0.5", "(len(runs) - 1) ** 0.5"),
)


slip(
    mean_and_error,
    "two_errors",
    "this is twice the standard error. Asked for is one.",
    (
        "error = runs.std(correction=1) / len(runs) ** 0.5",
        "error = 2 * runs.std(correction=1) / len(runs) ** 0.5",
    ),
)


slip(
    mean_and_error,
    "relative_error",
    "the error was divided by the mean. Give it in the units of the values.",
    (
        "error = runs.std(correction=1) / len(runs) ** 0.5",
        "error = runs.std(correction=1) / len(runs) ** 0.5 / runs.mean()",
    ),
)


slip(
    mean_and_error,
    "mean_distance",
    "this is the mean distance from the mean. A standard deviation takes the mean of "
    "squares, then the root.",
    (
        "error = runs.std(correction=1) / len(runs) ** 0.5",
        "error = (runs - runs.mean()).abs().sum() / (len(runs) - 1) / len(runs) ** 0.5",
    ),
)


slip(
    mean_and_error,
    "root_of_the_deviation",
    "the root was taken of the deviation as well. Divide the deviation by the root of n.",
    (
        "error = runs.std(correction=1) / len(runs) ** 0.5",
        "error = (runs.std(correction=1) / len(runs)) ** 0.5",
    ),
)


slip(
    mean_and_error,
    "as_an_interval",
    "the two ends of an interval were returned. Give the mean and its error.",
    (
        "return runs.mean().item(), error.item()",
        "return runs.mean().item() - error.item(), runs.mean().item() + error.item()",
    ),
)


slip(
    mean_and_error,
    "root_mean_square",
    "this is the root of the mean square, in which the mean itself counts as spread. "
    "Subtract the mean before squaring.",
    (
        "error = runs.std(correction=1) / len(runs) ** 0.5",
        "error = (runs.pow(2).sum() / (len(runs) - 1)).sqrt() / len(runs) ** 0.5",
    ),
)


slip(
    mean_and_error,
    "over_n_plus_one",
    "the root of n + 1 stands below. It is the root of n.",
    (
        "error = runs.std(correction=1) / len(runs) ** 0.5",
        "error = runs.std(correction=1) / (len(runs) + 1) ** 0.5",
    ),
)


slip(
    mean_and_error,
    "sizes_averaged",
    "the sizes of the runs were averaged. A run below 0 counts below 0.",
    (
        "torch.tensor(values,",
        "torch.tensor([abs(value) for value in values],",
    ),
)
