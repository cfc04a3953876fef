"""Exercise `virtual_pattern`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal

virtual_pattern = Exercise(
    "virtual_pattern",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "Follow one query q of head b. It looks at some position m. What stands at m was put there "
        "by head a, which looked from m at k.",
        "Sum over all positions m in between: b[q, m] * a[m, k]. Which operation is that?",
        "A matrix product, with the head that acts last on the left: pattern_b @ pattern_a.",
    ],
)


def _looking_back(n_pos: int, offset: int) -> Tensor:
    keys = (torch.arange(n_pos) - offset).clamp_min(0)
    return torch.eye(n_pos)[keys]


def _random_pattern(*shape: int, seed: int) -> Tensor:
    scores = 2.0 * normal(*shape, shape[-1], seed=seed)
    future = torch.ones(shape[-1], shape[-1], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@virtual_pattern.cases
def _virtual_pattern_cases() -> Iterator[Case]:
    at_two = torch.eye(5)[torch.tensor([0, 1, 2, 2, 2])]
    yield Case(
        "a, which looks one back, below b, which looks at position 2", _looking_back(5, 1), at_two
    )
    yield Case("two heads that each look one back", _looking_back(6, 1), _looking_back(6, 1))
    for seed, shape in enumerate([(5,), (3, 6), (2, 3, 4)]):
        a, b = _random_pattern(*shape, seed=seed), _random_pattern(*shape, seed=seed + 10)
        yield Case("random patterns", a, b)


@virtual_pattern.oracle
def _virtual_pattern_oracle(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    out = torch.zeros_like(pattern_a)
    for between in range(pattern_a.shape[-1]):
        out += pattern_b[..., :, between, None] * pattern_a[..., between, None, :]
    return out


@virtual_pattern.wrong(
    "the order is reversed. The query belongs to b, which acts last: b's rows, a's columns, so "
    "pattern_b stands on the left."
)
def a_after_b(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return pattern_a @ pattern_b


@virtual_pattern.wrong(
    "an entry-by-entry product asks where both heads look at once. Here one looks *after* the "
    "other: sum over the position in between, with a matrix product."
)
def entry_by_entry(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return pattern_a * pattern_b


@virtual_pattern.wrong(
    "rows and columns of the result are exchanged: rows are queries, the positions that receive."
)
def keys_as_rows(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return (pattern_b @ pattern_a).mT


@virtual_pattern.wrong("one pattern is transposed: both have queries as rows, as they come.")
def one_transposed(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return pattern_b @ pattern_a.mT


@virtual_pattern.wrong(
    "you took a mean of the two patterns: that is where two heads of one layer look between them. "
    "Two heads in sequence multiply."
)
def mean_of_both(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return (pattern_a + pattern_b) / 2


@virtual_pattern.wrong(
    "no softmax is needed: rows of a product of two patterns sum to 1 already, and a second "
    "softmax blurs them."
)
def softmax_again(pattern_a: Tensor, pattern_b: Tensor) -> Tensor:
    return (pattern_b @ pattern_a).softmax(-1)
