"""Exercise `project_heads`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

project_heads = Exercise(
    "project_heads",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "Name the axes of x, then the axes of W. Which name do the two share?",
        "An axis that stands on the left of -> and not on the right is summed over. Here that is "
        "d_model.",
        'The pattern is "batch pos d_model, head d_model d_head -> batch pos head d_head".',
    ],
)


@project_heads.cases
def _project_cases() -> Iterator[Case]:
    double_and_sum = torch.stack([2 * torch.eye(2), torch.ones(2, 2)])
    yield Case("x = [1, 10] with one head that doubles and one that sums",
               torch.tensor([[[1.0, 10.0]]]), double_and_sum)  # fmt: skip
    yield Case("random numbers", normal(2, 3, 5), normal(4, 5, 6, seed=1))
    yield Case("equal sizes everywhere", normal(3, 3, 3, seed=2), normal(3, 3, 3, seed=3))


@project_heads.oracle
def _project_oracle(x: Tensor, W: Tensor) -> Tensor:
    return torch.stack([x @ W[head] for head in range(len(W))], dim=2)


@project_heads.wrong(
    "you summed over the heads as well. Every name that stays on the right of -> stays an axis: "
    "keep `head`."
)
def heads_summed(x: Tensor, W: Tensor) -> Tensor:
    return _project_oracle(x, W).sum(2)


@project_heads.wrong(
    "the head axis stands before the position axis; the result is [batch, pos, head, d_head]."
)
def heads_first(x: Tensor, W: Tensor) -> Tensor:
    return _project_oracle(x, W).transpose(1, 2)


@project_heads.wrong(
    "each matrix is used transposed: the axis of W that meets x is d_model, its second axis."
)
def transposed_matrix(x: Tensor, W: Tensor) -> Tensor:
    return torch.einsum("bpm,hdm->bphd", x, W)


@project_heads.wrong(
    "x and W are summed over separately: an index that both share must carry the same name on "
    "both sides of the comma."
)
def summed_apart(x: Tensor, W: Tensor) -> Tensor:
    return torch.einsum("bpm,hnd->bphd", x, W)


slip(
    project_heads,
    "one_matrix_for_each_sequence",
    "each sequence met one matrix of its own: matmul paired the batch with the heads. Name both "
    "axes and keep both.",
    (
        "einsum(x, W, pattern)",
        'torch.einsum("bpm,bmd->bpd", x.expand(len(W), -1, -1) if len(x) == 1 else x, W)',
    ),
)


slip(
    project_heads,
    "first_matrix_for_all",
    "every head multiplies by the matrix of head 0. Give W's first axis a name, and keep "
    "that name on the right.",
    ("einsum(x, W, pattern)", "einsum(x, W[:1].expand_as(W), pattern)"),
)


slip(
    project_heads,
    "first_position_for_all",
    "every position holds the product of position 0. Give the positions a name, and keep "
    "that name on the right.",
    ("einsum(x, W, pattern)", "einsum(x[:, :1].expand_as(x), W, pattern)"),
)


slip(
    project_heads,
    "last_head_for_all",
    "every head multiplies by the last head's matrix. Each has its own: name W's first axis, "
    "and keep it on the right.",
    ("einsum(x, W, pattern)", "einsum(x, W[-1:].expand_as(W), pattern)"),
)


slip(
    project_heads,
    "mean_over_d_model",
    "the products were averaged over d_model. A matrix product sums them.",
    ("return einsum(x, W, pattern)", "return einsum(x, W, pattern) / x.shape[-1]"),
)


slip(
    project_heads,
    "heads_joined",
    "heads and their numbers were joined into one axis. Keep both: [batch, pos, head, d_head].",
    ("return einsum(x, W, pattern)", "return einsum(x, W, pattern).flatten(2)"),
)
