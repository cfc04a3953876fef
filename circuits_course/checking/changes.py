"""Small changes of one argument, each with what a learner did who gets the result for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Change = Callable[[Any], Any]  # None where it does not apply


def unit(value: Tensor) -> Tensor:
    """Every vector of the last axis with length 1."""
    return torch.nn.functional.normalize(value, dim=-1)


def _if(applies: Callable[[Tensor], bool], change: Change) -> Change:
    return lambda value: change(value) if applies(value) else None


def _is_square(value: Tensor) -> bool:
    return value.ndim >= 2 and value.shape[-1] == value.shape[-2] > 1


def _is_real(value: Tensor) -> bool:
    return value.is_floating_point() and value.ndim > 0


def _has_rows(value: Tensor) -> bool:
    return value.ndim > 1


CHANGES: dict[str, tuple[str, Change]] = {
    "transposed": ("`{}` is used transposed.", _if(_is_square, lambda v: v.mT)),
    "first row": (
        "every row got the result of the first row of `{}`.",
        _if(_has_rows, lambda v: v[:1].expand_as(v)),
    ),
    "last row": (
        "every row got the result of the last row of `{}`.",
        _if(_has_rows, lambda v: v[-1:].expand_as(v)),
    ),
    "first of axis 1": (
        "entry 0 of axis 1 of `{}` is used for all.",
        _if(lambda v: v.ndim > 1 and v.shape[1] > 1, lambda v: v[:, :1].expand_as(v)),
    ),
    "mean of rows": (
        "every row got the result of the mean over axis 0 of `{}`.",
        _if(
            lambda v: _has_rows(v) and v.is_floating_point(),
            lambda v: v.mean(0, keepdim=True).expand_as(v),
        ),
    ),
    "after a softmax": (
        "a softmax has been taken of `{}` first.",
        _if(_is_real, lambda v: v.softmax(-1)),
    ),
    "of length 1": (
        "each vector of `{}` was divided by its length first.",
        _if(_is_real, unit),
    ),
    "without sign": ("the absolute value of `{}` is used.", _if(_is_real, torch.abs)),
    "with sign turned": ("the sign of `{}` is turned.", _if(_is_real, torch.neg)),
    "squared": ("the square of `{}` is used.", _if(_is_real, torch.square)),
    "doubled": ("twice `{}` is used.", _if(_is_real, lambda v: 2 * v)),
    "halved": ("half of `{}` is used.", _if(_is_real, lambda v: v / 2)),
    "one later": (
        "`{}` is shifted by one along its last axis: entry i + 1 is used for entry i.",
        _if(lambda v: v.ndim > 0, lambda v: v.roll(-1, -1)),
    ),
    "one earlier": (
        "`{}` is shifted by one along its last axis: entry i - 1 is used for entry i.",
        _if(lambda v: v.ndim > 0, lambda v: v.roll(1, -1)),
    ),
    "one row later": (
        "`{}` is shifted by one along axis 1: entry i + 1 is used for entry i.",
        _if(lambda v: v.ndim > 2, lambda v: v.roll(-1, 1)),
    ),
    "one row earlier": (
        "`{}` is shifted by one along axis 1: entry i - 1 is used for entry i.",
        _if(lambda v: v.ndim > 2, lambda v: v.roll(1, 1)),
    ),
    "backwards": (
        "`{}` is read backwards along its last axis.",
        lambda v: v.flip(-1) if v.ndim else None,
    ),
    "of zeros": (
        "`{}` plays no part: yours is the result for zeros in its place.",
        _if(_is_real, torch.zeros_like),
    ),
    "of ones": (
        "`{}` plays no part: yours is the result for ones in its place.",
        _if(_is_real, torch.ones_like),
    ),
}

OF_PLACES = {"transposed", "first row"}  # these show in any result

CHANGES_OF_LISTS: dict[str, tuple[str, Change]] = {
    "last only": (
        "only the last of `{}` counts. (A function made in a loop sees the last value of the "
        "loop's variable, unless it is handed over: head=head.)",
        lambda v: v[-1:] if len(v) > 1 else None,
    ),
    "first only": (
        "only the first of `{}` counts.",
        lambda v: v[:1] if len(v) > 1 else None,
    ),
    "without the first": (
        "the first of `{}` is left out.",
        lambda v: v[1:] if len(v) > 1 else None,
    ),
    "without the last": (
        "the last of `{}` is left out.",
        lambda v: v[:-1] if len(v) > 1 else None,
    ),
    "turned pairs": (
        "the two numbers of each pair in `{}` are exchanged.",
        lambda v: [pair[::-1] for pair in v] if v and all(type(p) is tuple for p in v) else None,
    ),
}
