"""Exercise `smear_keys`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

smear_keys = Exercise(
    "smear_keys",
    difficulty=2,
    importance=3,
    minutes=10,
    hints=[
        "alpha is any number; sigmoid(alpha) lies between 0 and 1. What should the key be with "
        "sigmoid(alpha) = 1? And with 0?",
        "k is [batch, pos, head, d_head] and s belongs to a head: with the shape [head, 1] it "
        "multiplies each head's keys by its own number.",
        "k[:, 1:] are the keys that have one before them, and k[:, :-1] are those before.",
    ],
)


@smear_keys.cases
def _smear_cases() -> Iterator[Case]:
    count = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    yield Case("keys 1, 10, 100 and a share of 3/4 for each key itself",
               count, torch.tensor([math.log(3.0)]))  # fmt: skip
    yield Case("one head that keeps its keys and one that takes the ones before",
               normal(2, 4, 2, 3, seed=1), torch.tensor([40.0, -40.0]))  # fmt: skip
    yield Case("random numbers", normal(2, 5, 3, 4, seed=2), normal(3, seed=3))
    yield Case("as many heads as positions, numbers and sequences",
               normal(4, 4, 4, 4, seed=4), normal(4, seed=5))  # fmt: skip
    yield Case("a single position", normal(3, 1, 2, 5, seed=6), normal(2, seed=7))


@smear_keys.oracle
def _smear_oracle(k: Tensor, alpha: Tensor) -> Tensor:
    out = k.clone()
    for head in range(len(alpha)):
        s = 1 / (1 + math.exp(-float(alpha[head])))
        for j in range(1, k.shape[1]):
            out[:, j, head] = s * k[:, j, head] + (1 - s) * k[:, j - 1, head]
    return out


def _smeared(k: Tensor, s: Tensor, before: Tensor) -> Tensor:
    """s k + (1 - s) before, the first key as it was."""
    mixed = s * k + (1 - s) * before
    return torch.cat([k[:, :1], mixed[:, 1:]], dim=1)


def _before(k: Tensor) -> Tensor:
    return k.roll(1, dims=1)


@smear_keys.wrong(
    "the shares are exchanged: sigmoid(alpha) is the share of the key itself, the rest goes to the "
    "one before."
)
def shares_exchanged(k: Tensor, alpha: Tensor) -> Tensor:
    return _smear_oracle(k, -alpha)


@smear_keys.wrong(
    "each key is mixed with the one *after* it. A key may know its past: mix with k[:, :-1]."
)
def with_the_next(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    mixed = s * k[:, :-1] + (1 - s) * k[:, 1:]
    return torch.cat([mixed, k[:, -1:]], dim=1)


@smear_keys.wrong(
    "alpha itself is the share; it may be any number, and only sigmoid(alpha) lies between 0 and 1."
)
def no_sigmoid(k: Tensor, alpha: Tensor) -> Tensor:
    return _smeared(k, alpha[:, None], _before(k))


@smear_keys.wrong("the first key shrank: it has none before it and stays as it is.")
def first_key_shrinks(k: Tensor, alpha: Tensor) -> Tensor:
    before = torch.cat([torch.zeros_like(k[:, :1]), k[:, :-1]], dim=1)
    s = alpha.sigmoid()[:, None]
    return s * k + (1 - s) * before


@smear_keys.wrong(
    "`roll` goes round: the first key is mixed with the last, which lies in its future."
)
def rolled_round(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    return s * k + (1 - s) * _before(k)


@smear_keys.wrong(
    "the first key is missing: keep it as it is, so that there is one key a position."
)
def first_key_missing(k: Tensor, alpha: Tensor) -> Tensor:
    return _smear_oracle(k, alpha)[:, 1:]


@smear_keys.wrong(
    "alpha met d_head, the last axis. It is one number a head: give it the shape [head, 1]."
)
def alpha_on_d_head(k: Tensor, alpha: Tensor) -> Tensor:
    return _smeared(k, alpha.sigmoid(), _before(k))


@smear_keys.wrong(
    "you went through the positions in place, so each key was mixed with one already mixed. Take "
    "the keys before from the unchanged k."
)
def mixed_in_place(k: Tensor, alpha: Tensor) -> Tensor:
    out, s = k.clone(), alpha.sigmoid()[:, None]
    for j in range(1, k.shape[1]):
        out[:, j] = s * out[:, j] + (1 - s) * out[:, j - 1]
    return out


@smear_keys.wrong(
    "the key before is added whole: give it the share that is left, 1 - sigmoid(alpha)."
)
def added_whole(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    mixed = s * k[:, 1:] + k[:, :-1]
    return torch.cat([k[:, :1], mixed], dim=1)


@smear_keys.wrong(
    "you mixed neighbouring heads: positions are axis 1 of [batch, pos, head, d_head]."
)
def across_heads(k: Tensor, alpha: Tensor) -> Tensor:
    s = alpha.sigmoid()[:, None]
    mixed = s * k + (1 - s) * k.roll(1, dims=2)
    return torch.cat([k[:, :, :1], mixed[:, :, 1:]], dim=2)


slip(
    smear_keys,
    "mixed_with_the_next",
    "each key is mixed with the one after it. Nobody knows that one yet: the key before, k[:, "
    ":-1].",
    ("s * k[:, 1:] + (1 - s) * k[:, :-1]", "s * k[:, 1:] + (1 - s) * k[:, 1:].roll(-1, 1)"),
)


slip(
    smear_keys,
    "first_key_lost",
    "the first key is 0. It has none before it and stays as it is.",
    ("k.clone()", "torch.zeros_like(k)"),
)


slip(
    smear_keys,
    "one_share_for_all",
    "every head mixes with the share of head 0. Each has its own alpha: s has one entry for "
    "each head.",
    ("alpha.sigmoid()[:, None]", "alpha.sigmoid()[0]"),
)


slip(
    smear_keys,
    "two_before",
    "each key is mixed with the one two before it. Take the key just before.",
    (
        "smeared[:, 1:] = s * k[:, 1:] + (1 - s) * k[:, :-1]",
        "smeared[:, 2:] = s * k[:, 2:] + (1 - s) * k[:, :-2]",
    ),
)


slip(
    smear_keys,
    "hyperbolic_tangent",
    "that is the hyperbolic tangent. The share is sigmoid(alpha), between 0 and 1.",
    (
        "alpha.sigmoid()",
        "alpha.tanh()",
    ),
)


slip(
    smear_keys,
    "softmax_over_heads",
    "a softmax over the heads was taken. Each head has a share of its own: sigmoid.",
    (
        "alpha.sigmoid()",
        "alpha.softmax(0)",
    ),
)
