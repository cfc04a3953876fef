"""Exercise `value_weighted`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import random_pattern
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

value_weighted = Exercise(
    "value_weighted",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "What a head would write from key k, if it looked there with all its attention, is the "
        "vector v[k] W_O. You need one length for each batch, head and key.",
        'torch.einsum("bkhd,hdm->bkhm", v, W_O) is what each head would write from each key; '
        ".norm(dim=-1) is its length, [batch, k, head].",
        "The pattern has heads before keys: .transpose(1, 2) makes it [batch, head, k]. The last "
        "line puts in an axis for the queries.",
    ],
)


def _values(batch: int, pos: int, heads: int, d_head: int, d_model: int, seed: int) -> Case:
    W_O = normal(heads, d_head, d_model, seed=seed + 1)
    v = normal(batch, pos, heads, d_head, seed=seed)
    return Case(
        f"{batch} random sequences of {pos} tokens, {heads} heads",
        random_pattern(batch, heads, pos, pos, seed=seed + 2), v, W_O,
    )  # fmt: skip


@value_weighted.cases
def _weighted_cases() -> Iterator[Case]:
    v = torch.zeros(1, 3, 1, 2)
    v[0, 1:, 0, 0] = torch.tensor([3.0, 1.0])
    v[0, 2, 0, 1] = 1.0
    W_O = torch.tensor([[[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]])
    yield Case("one head that would write nothing from BOS", random_pattern(1, 1, 3, 3), v, W_O)
    yield _values(2, 5, 3, 4, 7, seed=1)
    yield _values(3, 4, 2, 5, 6, seed=4)
    yield _values(1, 6, 4, 3, 8, seed=7)


@value_weighted.oracle
def _weighted_oracle(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    out = torch.empty_like(pattern)
    for b, h, _, k in torch.cartesian_prod(*(torch.arange(n) for n in pattern.shape)).tolist():
        out[b, h, :, k] = pattern[b, h, :, k] * float((v[b, k, h] @ W_O[h]).pow(2).sum() ** 0.5)
    return out


def _lengths(v: Tensor, W_O: Tensor) -> Tensor:
    """[batch, head, k]"""
    return torch.stack([(v[:, :, h] @ w).norm(dim=-1) for h, w in enumerate(W_O)], dim=1)


@value_weighted.wrong(
    "you took the length of v itself. W_O decides how much of it is written: multiply first."
)
def length_of_v(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    return pattern * v.norm(dim=-1).transpose(1, 2)[:, :, None, :]


@value_weighted.wrong("you weighted the queries: what is moved comes from the key, the last axis.")
def queries_weighted(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    return pattern * _lengths(v, W_O)[:, :, :, None]


@value_weighted.wrong("these are the lengths alone: multiply them with the pattern.")
def pattern_left_out(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    return _lengths(v, W_O)[:, :, None, :].expand_as(pattern).clone()


@value_weighted.wrong(
    "you made each row sum to 1 again. Then a head that brings nearly nothing looks like one that "
    "brings a lot."
)
def rows_normalised(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    weighted = _weighted_oracle(pattern, v, W_O)
    return weighted / weighted.sum(-1, keepdim=True).clamp_min(1e-12)


@value_weighted.wrong("these are squared lengths: the norm is the root of the sum of squares.")
def squared_lengths(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    return pattern * _lengths(v, W_O)[:, :, None, :] ** 2


@value_weighted.wrong(
    "every head has the same lengths: you let all heads' writes run together before the norm. Keep "
    "the axis of the heads."
)
def heads_run_together(pattern: Tensor, v: Tensor, W_O: Tensor) -> Tensor:
    together = torch.einsum("bkhd,hdm->bkm", v, W_O).norm(dim=-1)
    return pattern * together[:, None, None, :]


slip(
    value_weighted,
    "sum_of_sizes",
    "the sizes of the entries were added up. The length of a vector is the root of the sum of "
    "their squares: norm.",
    (
        "written.norm(dim=-1)",
        "written.abs().sum(-1)",
    ),
)


slip(
    value_weighted,
    "product_of_lengths",
    "the length of v was multiplied by the size of W_O. How long v W_O is hangs on the "
    "direction of v: multiply first, then take the length.",
    (
        "written.norm(dim=-1)",
        "(v.norm(dim=-1) * W_O.norm(dim=(-2, -1)))",
    ),
)


slip(
    value_weighted,
    "largest_is_one",
    "the lengths were divided by the largest. They are asked for as they are.",
    (
        "lengths[:, :, None, :]",
        "lengths[:, :, None, :] / lengths.amax()",
    ),
)


slip(
    value_weighted,
    "axes_reshaped",
    "reshape does not move an axis: the numbers of heads and keys are mixed. Use transpose(1, 2).",
    (
        "written.norm(dim=-1).transpose(1, 2)",
        "written.norm(dim=-1).reshape(v.shape[0], v.shape[2], v.shape[1])",
    ),
)


slip(
    value_weighted,
    "lengths_of_the_first_sequence",
    "the lengths of the mean over the sequences were used. Each sequence has its own.",
    (
        "lengths[:, :, None, :]",
        "lengths.mean(0)[None, :, None, :]",
    ),
)
