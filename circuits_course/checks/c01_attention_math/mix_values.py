"""Exercise `mix_values`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c01_attention_math.attention_pattern import _pattern_oracle
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

mix_values = Exercise(
    "mix_values",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "A query that attends 0.25 to key 0 and 0.75 to key 1 takes home a quarter of one value "
        "and three quarters of the other.",
        "Which axis do `pattern` and `v` share, and is not wanted in the result? It is summed.",
        '"batch head query key, batch head key d_head -> batch head query d_head".',
    ],
)


@mix_values.cases
def _mix_cases() -> Iterator[Case]:
    pattern = torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])
    yield Case("a query that attends 0.25 to value 8 and 0.75 to value 4", pattern,
               torch.tensor([[[[8.0], [4.0]]]]))  # fmt: skip
    for seed, (batch, head, pos, d_head) in enumerate([(2, 3, 5, 7), (4, 2, 6, 3), (3, 3, 3, 3)]):
        pattern = _pattern_oracle(normal(batch, head, pos, pos, seed=seed))
        yield Case("random numbers", pattern, normal(batch, head, pos, d_head, seed=seed + 9))


@mix_values.oracle
def _mix_oracle(pattern: Tensor, v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    for i in range(v.shape[-2]):
        for j in range(v.shape[-2]):
            out[:, :, i] += pattern[:, :, i, j, None] * v[:, :, j]
    return out


@mix_values.wrong(
    "the pattern is used transposed: you summed over the queries. Row i of the pattern says where "
    "query i looks; sum over its columns, the keys."
)
def summed_over_queries(pattern: Tensor, v: Tensor) -> Tensor:
    return pattern.mT @ v


@mix_values.wrong(
    "each query took only the value it attends to most. Attention takes the weighted sum of all."
)
def hard_attention(pattern: Tensor, v: Tensor) -> Tensor:
    best = pattern.argmax(-1, keepdim=True).expand(-1, -1, -1, v.shape[-1])
    return v.gather(2, best)


@mix_values.wrong(
    "each position kept its own value, weighted by its attention to itself. Sum over all keys."
)
def own_value_only(pattern: Tensor, v: Tensor) -> Tensor:
    return pattern.diagonal(dim1=-2, dim2=-1)[..., None] * v


@mix_values.wrong("every value that may be seen counts the same. Weight them by the pattern.")
def plain_average(pattern: Tensor, v: Tensor) -> Tensor:
    count = torch.arange(1, v.shape[-2] + 1)[:, None]
    return v.cumsum(-2) / count


@mix_values.wrong(
    "you divided by the number of keys as well. The weights sum to 1 already: sum, not mean."
)
def mean_over_keys(pattern: Tensor, v: Tensor) -> Tensor:
    return _mix_oracle(pattern, v) / v.shape[-2]


@mix_values.wrong(
    "the head axis stands after the positions. Here it stays second: [batch, head, query, d_head]."
)
def heads_after_positions(pattern: Tensor, v: Tensor) -> Tensor:
    return _mix_oracle(pattern, v).transpose(1, 2)


@mix_values.wrong(
    "the heads were summed. Each head keeps its own result until it is written out through W_O."
)
def heads_already_summed(pattern: Tensor, v: Tensor) -> Tensor:
    return _mix_oracle(pattern, v).sum(1)


slip(
    mix_values,
    "own_value_times_its_sum",
    "each query took its own value, times the sum of its weights: what it should take is the "
    "values of all keys, each with its weight.",
    (
        'return einsum(\n        pattern, v, "batch head query key, batch head key d_head -> '
        'batch head query d_head"\n    )',
        "return pattern.sum(-1, keepdim=True) * v",
    ),
)


@mix_values.wrong(
    "each number of the result is the largest of the weighted values. A query takes home their sum."
)
def largest_of_the_values(pattern: Tensor, v: Tensor) -> Tensor:
    return (pattern[..., None] * v[:, :, None]).amax(3)
