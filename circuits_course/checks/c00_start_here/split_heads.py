"""Exercise `split_heads`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

split_heads = Exercise(
    "split_heads",
    difficulty=1,
    importance=3,
    minutes=5,
    hints=[
        "Write down one vector with two heads of three numbers each: a0 a1 a2 b0 b1 b2. Which "
        "numbers belong to head 0?",
        "The head is the slow index, the position inside the head the fast one. Reshaping splits "
        "the last axis in that order: (n_heads, d_head).",
        'With einops: rearrange(x, "batch pos (head d_head) -> batch pos head d_head", '
        "head=n_heads).",
    ],
)


@split_heads.cases
def _split_cases() -> Iterator[Case]:
    yield Case("the numbers 0 to 5 as two heads of three", torch.arange(6.0).view(1, 1, 6), 2)
    yield Case("one head only", normal(2, 3, 5), 1)
    yield Case("random numbers", normal(2, 7, 15, seed=1), 3)
    yield Case("random numbers", normal(5, 4, 12, seed=2), 6)


@split_heads.oracle
def _split_oracle(x: Tensor, n_heads: int) -> Tensor:
    d_head = x.shape[-1] // n_heads
    return torch.stack([x[..., h * d_head : (h + 1) * d_head] for h in range(n_heads)], dim=2)


@split_heads.wrong(
    "you took every n_heads-th number for a head. Each head's numbers stand next to each other: "
    "split the last axis as (n_heads, d_head), not (d_head, n_heads)."
)
def interleaved(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (x.shape[-1] // n_heads, n_heads)).transpose(-1, -2)


@split_heads.wrong(
    "the last two axes are the wrong way round: the head comes before the numbers inside it."
)
def head_axis_last(x: Tensor, n_heads: int) -> Tensor:
    return _split_oracle(x, n_heads).transpose(-1, -2)


@split_heads.wrong(
    "you put the head axis before the position axis. Many attention codes do; TransformerLens, "
    "and this course, keep [batch, pos, head, d_head]."
)
def head_before_position(x: Tensor, n_heads: int) -> Tensor:
    return _split_oracle(x, n_heads).transpose(1, 2)


@split_heads.wrong(
    "`n_heads` is the number of heads, not the size of one: you made pieces of length n_heads."
)
def head_count_as_size(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (x.shape[-1] // n_heads, n_heads))


@split_heads.wrong(
    "you reshaped straight to an order in which positions and heads mix. A reshape may only split "
    "the last axis; a change of order needs a transpose or rearrange afterwards."
)
def scrambled(x: Tensor, n_heads: int) -> Tensor:
    batch, pos, width = x.shape
    return x.reshape(batch, n_heads, pos, width // n_heads).transpose(1, 2)


slip(
    split_heads,
    "batch_and_positions_joined",
    "batch and positions were joined into one axis. Keep both: only the last axis is cut.",
    (
        '"batch pos (head d_head) -> batch pos head d_head"',
        '"batch pos (head d_head) -> (batch pos) head d_head"',
    ),
)


slip(
    split_heads,
    "heads_backwards",
    "the heads come in reverse order: head 0 is the first piece.",
    (
        'return rearrange(x, "batch pos (head d_head) -> batch pos head d_head", head=n_heads)',
        'return rearrange(x, "batch pos (head d_head) -> batch pos head d_head", '
        "head=n_heads).flip(2)",
    ),
)
