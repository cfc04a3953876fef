"""Exercise `read_values`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

read_values = Exercise(
    "read_values",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "z is the mix of values by the pattern: for each query, the sum over keys of attention "
        "times value.",
        "With fewer value heads than query heads, which one does query head 4 of 9 read, when "
        "there are 3? How many query heads share one?",
        "pattern[:, head] is [batch, query, key], v[:, :, kv] is [batch, key, d_head]: a matrix "
        "product. kv = head // (number of query heads / number of value heads).",
    ],
)


@read_values.cases
def _values_cases() -> Iterator[Case]:
    looks = torch.zeros(1, 2, 3, 3)
    looks[0, 0, range(3), 0] = 1.0
    looks[0, 1] = torch.eye(3)
    v = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 3.0]]]])
    yield Case("two heads share one value head; head 1 looks at its own position", looks, v, 1)
    for seed, (batch, pos, n_heads, n_kv, d_head, head) in enumerate(
        [(2, 5, 9, 3, 4, 4), (3, 4, 9, 3, 5, 8), (2, 6, 8, 2, 3, 3), (4, 3, 5, 5, 2, 2)]
    ):
        pattern = normal(batch, n_heads, pos, pos, seed=seed)
        future = torch.ones(pos, pos).triu(1).bool()
        pattern = (2 * pattern).masked_fill(future, -torch.inf).softmax(-1)
        values = normal(batch, pos, n_kv, d_head, seed=seed + 10)
        yield Case(f"{n_heads} query heads, {n_kv} value heads", pattern, values, head)


@read_values.oracle
def _values_oracle(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    batch, n_heads, n_pos, _ = pattern.shape
    every = v.repeat_interleave(n_heads // v.shape[2], dim=2)  # [batch, key, head, d_head]
    out = torch.zeros(batch, n_pos, v.shape[3])
    for b in range(batch):
        for query in range(n_pos):
            for key in range(n_pos):
                out[b, query] += pattern[b, head, query, key] * every[b, key, head]
    return out


@read_values.wrong(
    "you read the value head `head % n`, as if query heads took turns. They share in blocks: the "
    "first few read value head 0, the next ones value head 1."
)
def heads_take_turns(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    return pattern[:, head] @ v[:, :, head % v.shape[2]]


@read_values.wrong(
    "you divided by the number of value heads. What counts is how many query heads share one: "
    "query heads / value heads."
)
def divided_by_value_heads(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    return pattern[:, head] @ v[:, :, min(head // v.shape[2], v.shape[2] - 1)]


@read_values.wrong(
    "the head's number was used for the values as it is. There are fewer value heads than query "
    "heads: find the one that this head reads."
)
def last_value_head(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    return pattern[:, head] @ v[:, :, min(head, v.shape[2] - 1)]


@read_values.wrong(
    "the pattern is turned: pattern[query, key], and the sum runs over keys, its last axis."
)
def pattern_turned(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    return pattern[:, head].mT @ v[:, :, head // (pattern.shape[1] // v.shape[2])]


@read_values.wrong(
    "all heads of the group were added up. They share the values and not the pattern: use this "
    "head's own."
)
def whole_group(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    size = pattern.shape[1] // v.shape[2]
    group = head // size
    return pattern[:, group * size : (group + 1) * size].sum(1) @ v[:, :, group]


@read_values.wrong(
    "these are the values at each position, unmixed. z is their mean weighted by the attention."
)
def values_unmixed(pattern: Tensor, v: Tensor, head: int) -> Tensor:
    return v[:, :, head // (pattern.shape[1] // v.shape[2])]


slip(
    read_values,
    "pattern_of_the_group",
    "the pattern of another head was used: `head // group` is the number of the value head. "
    "The pattern is the query head's own: pattern[:, head].",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "return pattern[:, head // group] @ v[:, :, head // group]",
    ),
)


slip(
    read_values,
    "pattern_of_the_first_in_the_group",
    "the pattern of the group's first head was used. Heads of a group share values and not "
    "the pattern: pattern[:, head].",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "return pattern[:, head // group * group] @ v[:, :, head // group]",
    ),
)


slip(
    read_values,
    "group_pattern_averaged",
    "the patterns of the group were averaged. Each head has its own: pattern[:, head].",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "i = head // group * group\n"
        "    return pattern[:, i : i + group].mean(1) @ v[:, :, head // group]",
    ),
)


slip(
    read_values,
    "values_averaged",
    "the value heads were averaged. A head reads one of them: v[:, :, head // group].",
    ("return pattern[:, head] @ v[:, :, head // group]", "return pattern[:, head] @ v.mean(2)"),
)


slip(
    read_values,
    "all_values_summed",
    "the value heads were added up. A head reads one of them: v[:, :, head // group].",
    ("return pattern[:, head] @ v[:, :, head // group]", "return pattern[:, head] @ v.sum(2)"),
)


slip(
    read_values,
    "first_value_head",
    "value head 0 was read, whichever head asks.",
    ("return pattern[:, head] @ v[:, :, head // group]", "return pattern[:, head] @ v[:, :, 0]"),
)


slip(
    read_values,
    "first_prompt_of_values",
    "all prompts read the first prompt's values.",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "return pattern[:, head] @ v[:1, :, head // group]",
    ),
)


slip(
    read_values,
    "values_of_the_next_group",
    "the value head after the right one was read: groups count from 0, so head // group "
    "needs no + 1.",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "return pattern[:, head] @ v[:, :, (head // group + 1) % v.shape[2]]",
    ),
)


slip(
    read_values,
    "best_key_only",
    "only the key with the most attention was read. z is the mean of all values, weighted by "
    "the attention.",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "i = pattern[:, head].argmax(-1)\n"
        "    return v[torch.arange(len(v))[:, None], i, head // group]",
    ),
)


slip(
    read_values,
    "without_bos",
    "the first key was left out and the rest made to sum to 1. Take the pattern as it is.",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "p = pattern[:, head].clone()\n"
        "    p[..., 0] = 0\n"
        "    return p / p.sum(-1, keepdim=True).clamp_min(1e-9) @ v[:, :, head // group]",
    ),
)


slip(
    read_values,
    "softmax_again",
    "a softmax was taken of the pattern. It is one already: its rows sum to 1.",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "return pattern[:, head].softmax(-1) @ v[:, :, head // group]",
    ),
)


slip(
    read_values,
    "own_position_only",
    "only the value at the query's own position was read, weighted by the attention to it. "
    "Sum over all keys.",
    (
        "return pattern[:, head] @ v[:, :, head // group]",
        "return pattern[:, head].diagonal(0, -2, -1)[..., None] * v[:, :, head // group]",
    ),
)
