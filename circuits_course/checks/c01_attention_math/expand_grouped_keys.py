"""Exercise `expand_grouped_keys`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

expand_grouped_keys = Exercise(
    "expand_grouped_keys",
    difficulty=2,
    importance=3,
    minutes=5,
    hints=[
        "With 6 heads in 2 groups, write down for each head whose keys it uses: 0 0 0 1 1 1.",
        "Each group has to stand there n_heads / n_groups times in a row. `repeat` and "
        "`repeat_interleave` differ in the order of the copies.",
        "k.repeat_interleave(n_heads // n_groups, dim=2).",
    ],
)


@expand_grouped_keys.cases
def _group_cases() -> Iterator[Case]:
    yield Case("two groups, holding 1 and 2, for six heads",
               torch.tensor([1.0, 2.0]).view(1, 1, 2, 1), 6)  # fmt: skip
    yield Case("random keys", normal(2, 5, 3, 4), 9)
    yield Case("as many groups as heads", normal(3, 2, 4, 5, seed=1), 4)
    yield Case("one group for all heads", normal(2, 6, 1, 3, seed=2), 5)
    yield Case("as many positions as groups", normal(4, 2, 2, 2, seed=3), 8)


@expand_grouped_keys.oracle
def _group_oracle(k: Tensor, n_heads: int) -> Tensor:
    size = n_heads / k.shape[2]
    return torch.stack([k[:, :, int(head // size)] for head in range(n_heads)], dim=2)


@expand_grouped_keys.wrong(
    "the copies come in turn, 0 1 0 1 0 1. Neighbouring heads share a group: 0 0 0 1 1 1, so each "
    "group is repeated in place (repeat_interleave)."
)
def tiled(k: Tensor, n_heads: int) -> Tensor:
    return k.repeat(1, 1, n_heads // k.shape[2], 1)


@expand_grouped_keys.wrong(
    "every group was copied n_heads times. A group serves n_heads // n_groups heads."
)
def too_many_copies(k: Tensor, n_heads: int) -> Tensor:
    return k.repeat_interleave(n_heads, dim=2)


@expand_grouped_keys.wrong(
    "you repeated positions instead of groups: the groups are axis 2 of [batch, pos, group, "
    "d_head]."
)
def positions_repeated(k: Tensor, n_heads: int) -> Tensor:
    return k.repeat_interleave(n_heads // k.shape[2], dim=1)


@expand_grouped_keys.wrong(
    "the groups are counted in the wrong direction: head 0 belongs to group 0."
)
def groups_backwards(k: Tensor, n_heads: int) -> Tensor:
    return _group_oracle(k, n_heads).flip(2)


@expand_grouped_keys.wrong(
    "the copies stand in an axis of their own. Flatten (group, copy) into one axis of n_heads."
)
def copies_in_a_new_axis(k: Tensor, n_heads: int) -> Tensor:
    return k[:, :, :, None].expand(-1, -1, -1, n_heads // k.shape[2], -1)


@expand_grouped_keys.wrong(
    "all heads got the first group. Head h uses group h // (heads per group)."
)
def first_group_for_all(k: Tensor, n_heads: int) -> Tensor:
    return k[:, :, :1].expand(-1, -1, n_heads, -1)


slip(
    expand_grouped_keys,
    "numbers_repeated",
    "the numbers of the vectors are repeated: d_head is the last axis. Groups are axis 2.",
    ("dim=2", "dim=-1"),
)


slip(
    expand_grouped_keys,
    "copies_as_many_as_groups",
    "each group is repeated as often as there are groups. It serves n_heads // n_groups heads.",
    ("n_heads // k.shape[2]", "k.shape[2]"),
)


slip(
    expand_grouped_keys,
    "shared_among_the_heads",
    "each key was divided by the number of heads that share it. All of them read the whole key.",
    (
        "expanded = k.",
        "expanded = (k / heads_in_group).",
    ),
)
