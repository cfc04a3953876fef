"""Exercise `head_similarity`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

head_similarity = Exercise(
    "head_similarity",
    difficulty=3,
    importance=3,
    minutes=10,
    hints=[
        "For one sequence and two heads: two long vectors, and the cosine of the angle between "
        "them. What remains to be averaged?",
        "flatten(2) makes [batch, head, q * k]. After dividing each vector by its length, one "
        "matrix product gives all cosines of a sequence.",
        "The diagonal of that [head, head] table compares each head with itself: leave it out, for "
        "example with ~torch.eye(n_heads, dtype=torch.bool).",
    ],
)


def _random_pattern(*shape: int, seed: int = 0) -> Tensor:
    """Causal attention probabilities [*shape, q, k]; sequences differ in how sharp they are."""
    sharpness = torch.linspace(0.5, 4, shape[0]).view(-1, *([1] * (len(shape) - 1)))
    scores = sharpness * normal(*shape, seed=seed)
    future = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@head_similarity.cases
def _similarity_cases() -> Iterator[Case]:
    itself = torch.eye(4)
    first = torch.zeros(4, 4)
    first[:, 0] = 1
    yield Case("two heads that look at the same", torch.stack([itself, itself])[None])
    yield Case("a head that looks at itself, and one that looks at BOS",
               torch.stack([itself, first])[None])  # fmt: skip
    yield Case("three heads of which two agree", torch.stack([itself, itself, first])[None])
    for seed, shape in enumerate(((2, 3, 5, 5), (3, 2, 7, 7), (4, 5, 6, 6))):
        yield Case("random patterns", _random_pattern(*shape, seed=seed))


def _cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten().double(), b.flatten().double()
    return float((a * b).sum() / (a.norm() * b.norm()))


def _pairs(n_heads: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n_heads) for j in range(i)]


def _average(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@head_similarity.observe
def _as_number(output: Any, pattern: Tensor) -> float:
    return float(output)


@head_similarity.oracle
def _similarity_oracle(pattern: Tensor) -> float:
    return _average([_cosine(row[i], row[j]) for row in pattern for i, j in _pairs(len(row))])


@head_similarity.wrong(
    "each head was also compared with itself, which always gives 1. Pairs of *different* heads."
)
def with_itself(pattern: Tensor) -> float:
    heads = range(pattern.shape[1])
    return _average([_cosine(row[i], row[j]) for row in pattern for i in heads for j in heads])


@head_similarity.wrong(
    "the batch was made part of the vector. Then sequences with sharp patterns count for more; "
    "take a cosine for each sequence and average."
)
def batch_in_the_vector(pattern: Tensor) -> float:
    return _average([_cosine(pattern[:, i], pattern[:, j]) for i, j in _pairs(pattern.shape[1])])


@head_similarity.wrong(
    "these are scalar products. Divide each pattern by its length, or sharp heads look alike and "
    "blurred ones do not."
)
def scalar_products(pattern: Tensor) -> float:
    return _average(
        [float((row[i] * row[j]).sum()) for row in pattern for i, j in _pairs(len(row))]
    )


@head_similarity.wrong(
    "you took a cosine for every query. A head's pattern on a sequence is *one* vector, all its "
    "queries and keys."
)
def query_by_query(pattern: Tensor) -> float:
    return _average(
        [
            _cosine(row[i, q], row[j, q])
            for row in pattern
            for i, j in _pairs(len(row))
            for q in range(row.shape[1])
        ]
    )


@head_similarity.wrong("you summed over the pairs. Their mean is asked for: it stays below 1.")
def summed_pairs(pattern: Tensor) -> float:
    return _similarity_oracle(pattern) * len(_pairs(pattern.shape[1]))


@head_similarity.wrong("that is the most similar pair alone. Average over all pairs.")
def closest_pair(pattern: Tensor) -> float:
    return _average([max(_cosine(row[i], row[j]) for i, j in _pairs(len(row))) for row in pattern])


@head_similarity.wrong(
    "you averaged the patterns over the batch first. Heads that differ on every sequence may agree "
    "on average."
)
def mean_pattern(pattern: Tensor) -> float:
    mean = pattern.mean(0)
    return _average([_cosine(mean[i], mean[j]) for i, j in _pairs(len(mean))])


slip(
    head_similarity,
    "queries_averaged",
    "the queries were averaged first. A pattern is one long vector of all queries and keys: "
    "flatten(2).",
    ("pattern.flatten(2)", "pattern.mean(2)"),
)


slip(
    head_similarity,
    "neighbours_only",
    "only neighbouring heads are compared: all pairs of different heads.",
    ("~torch.eye(n_heads, dtype=torch.bool)", "torch.eye(n_heads).roll(1, 0).bool()"),
)


slip(
    head_similarity,
    "centred",
    "each pattern had its mean taken away, so this is a correlation. A cosine takes the "
    "patterns as they are.",
    (
        "unit = pattern.flatten(2)\n",
        "unit = pattern.flatten(2)\n    unit = unit - unit.mean(-1, keepdim=True)\n",
    ),
)


slip(
    head_similarity,
    "without_bos",
    "attention to BOS was left out. A pattern is all queries and all keys.",
    ("unit = pattern.flatten(2)\n", "unit = pattern[..., 1:].flatten(2)\n"),
)


slip(
    head_similarity,
    "distance_for_cosine",
    "that is 1 minus the similarity.",
    ("return cosines[:, others].mean().item()", "return 1 - cosines[:, others].mean().item()"),
)


slip(
    head_similarity,
    "last_query_only",
    "only the last query's attention was compared. A pattern is all queries and all keys: "
    "flatten(2).",
    ("unit = pattern.flatten(2)\n", "unit = pattern[:, :, -1]\n"),
)


slip(
    head_similarity,
    "first_sequence",
    "only the first sequence was read. The mean runs over sequences too.",
    ("return cosines[:, others].mean().item()", "return cosines[0, others].mean().item()"),
)


slip(
    head_similarity,
    "sums_to_one",
    "each pattern was divided by its sum. A cosine divides by the length: .norm(dim=-1).",
    ("unit.norm(dim=-1, keepdim=True)", "unit.sum(-1, keepdim=True)"),
)


slip(
    head_similarity,
    "squared_cosines",
    "the cosines were squared. Take their mean as they are.",
    ("return cosines[:, others].mean().item()", "return (cosines[:, others] ** 2).mean().item()"),
)


slip(
    head_similarity,
    "with_the_first_head",
    "every head was compared with head 0 alone. All pairs of different heads.",
    ("return cosines[:, others].mean().item()", "return cosines[:, 0, 1:].mean().item()"),
)


slip(
    head_similarity,
    "least_alike_pair",
    "that is the pair that is least alike. Average over all pairs.",
    ("return cosines[:, others].mean().item()", "return cosines[:, others].amin(-1).mean().item()"),
)


slip(
    head_similarity,
    "medians",
    "that is a median over the pairs: take the mean.",
    ("return cosines[:, others].mean().item()", "return cosines[:, others].median().item()"),
)


slip(
    head_similarity,
    "own_position_left_out",
    "attention to the own position was left out. A pattern is all queries and all keys.",
    (
        "unit = pattern.flatten(2)\n",
        "unit = (pattern * (1 - torch.eye(pattern.shape[-1]))).flatten(2)\n",
    ),
)


slip(
    head_similarity,
    "overlap",
    "that is an overlap, the sum of the smaller of two attentions. A cosine is the scalar "
    "product over both lengths.",
    (
        "    return cosines[:, others].mean().item()",
        "    overlap = torch.minimum(pattern[:, :, None], pattern[:, None]).sum(-1).mean(-1)\n"
        "    return overlap[:, others].mean().item()",
    ),
)


slip(
    head_similarity,
    "heads_averaged_first",
    "every head was compared with the mean of all heads. All pairs of different heads.",
    (
        "    return cosines[:, others].mean().item()",
        "    mean = pattern.flatten(2).mean(1, keepdim=True)\n"
        "    return torch.cosine_similarity(pattern.flatten(2), mean, dim=-1).mean().item()",
    ),
)
