"""Exercise `sharpness`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.slips import slip

sharpness = Exercise(
    "sharpness",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "One key has the score s, each of the other n_keys - 1 has the score 0. Write the softmax "
        "of the first key with exp(s) and exp(0) = 1.",
        "share = exp(s) / (exp(s) + n_keys - 1). Solve for exp(s): how many times larger than the "
        "rest together must it be?",
        "exp(s) = share / (1 - share) * (n_keys - 1), so s is the log of that: math.log(...).",
    ],
)


@sharpness.cases
def _sharpness_cases() -> Iterator[Case]:
    yield Case("2 keys that should share evenly", 2, 0.5)
    yield Case("3 keys, one of which should get 0.9", 3, 0.9)
    yield Case("64 keys, one of which should get 0.99", 64, 0.99)
    yield Case("10 keys, one of which should get less than its even part", 10, 0.02)


@sharpness.oracle
def _sharpness_oracle(n_keys: int, share: float) -> float:
    """By halving an interval until the softmax gives the share."""
    low, high = -50.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        scores = torch.zeros(n_keys, dtype=torch.float64)
        scores[0] = middle
        low, high = (middle, high) if scores.softmax(0)[0] < share else (low, middle)
    return round(low, 9) + 0.0  # + 0.0: not -0.0


@sharpness.wrong(
    "the others are missing. With n_keys - 1 keys at score 0, their part of the sum is n_keys - 1, "
    "not 1: the longer the sequence, the sharper a head has to be."
)
def only_one_other(n_keys: int, share: float) -> float:
    return math.log(share / (1 - share))


@sharpness.wrong("one key too many: besides the one that should win there are n_keys - 1.")
def counts_itself_too(n_keys: int, share: float) -> float:
    return math.log(share / (1 - share) * n_keys)


@sharpness.wrong(
    "the odds are missing: the key stands against all the others together, share / (1 - share)."
)
def share_for_odds(n_keys: int, share: float) -> float:
    return math.log(share * (n_keys - 1))


@sharpness.wrong(
    "these are the odds themselves. The softmax takes the exponential, so the score is their log."
)
def no_logarithm(n_keys: int, share: float) -> float:
    return share / (1 - share) * (n_keys - 1)


@sharpness.wrong("the logarithm is to base 10; the softmax uses e: math.log.")
def common_logarithm(n_keys: int, share: float) -> float:
    return math.log10(share / (1 - share) * (n_keys - 1))


@sharpness.wrong("the sign is turned: a score that wins is positive.")
def sign_turned(n_keys: int, share: float) -> float:
    return -math.log(share / (1 - share) * (n_keys - 1))


@sharpness.wrong(
    "you divided by the number of others. They add to what the key competes with, so the score "
    "must grow with them."
)
def divided_by_others(n_keys: int, share: float) -> float:
    return math.log(share / (1 - share) / (n_keys - 1))


slip(
    sharpness,
    "odds_turned",
    "the odds are turned round: the share stands over what is left, share / (1 - share).",
    ("share / (1 - share)", "(1 - share) / share"),
)


slip(
    sharpness,
    "odds_not_in_the_logarithm",
    "the odds stand outside of the logarithm. It is taken of the whole: odds times the "
    "number of other keys.",
    ("math.log(share / (1 - share) * (n_keys - 1))", "math.log(n_keys - 1) + share / (1 - share)"),
)


slip(
    sharpness,
    "never_below_zero",
    "scores below 0 were made 0. A key that should get less than its even part needs a score "
    "below the others'.",
    (
        "return math.log(share / (1 - share) * (n_keys - 1))",
        "return max(0.0, math.log(share / (1 - share) * (n_keys - 1)))",
    ),
)


slip(
    sharpness,
    "share_left_out_above",
    "share is missing above: e^score / (e^score + n_keys - 1) = share gives share / (1 - share).",
    (
        "share / (1 - share)",
        "1 / (1 - share)",
    ),
)
