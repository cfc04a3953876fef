"""Exercise `frozen_attention`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c01_attention_math.attention_pattern import _pattern_oracle
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

frozen_attention = Exercise(
    "frozen_attention",
    difficulty=3,
    importance=4,
    minutes=8,
    hints=[
        "Two things happen to x: positions are mixed, by the pattern, and each vector is changed, "
        "by W_OV. Each acts on an axis of its own.",
        "Because they act on different axes, the order does not matter: mix then change, or change "
        "then mix.",
        "In one einsum x's d_model needs two names: the one W_OV reads and the one it writes. "
        '"batch head query key, batch key d_in, head d_in d_out -> batch head query d_out".',
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@frozen_attention.cases
def _frozen_cases() -> Iterator[Case]:
    pattern = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    yield Case("one head that looks at position 0 and writes what it reads in x[0] to x[1]",
               pattern, x, torch.tensor([[[0.0, 3.0], [0.0, 0.0]]]))  # fmt: skip
    for seed, (batch, head, pos, d_model) in enumerate([(2, 3, 5, 7), (4, 2, 3, 6), (3, 3, 3, 3)]):
        pattern = _pattern_oracle(normal(batch, head, pos, pos, seed=seed))
        x = normal(batch, pos, d_model, seed=seed + 5)
        W_OV = normal(head, d_model, d_model, seed=seed + 9)
        yield Case("random numbers", pattern, x, W_OV)


@frozen_attention.oracle
def _frozen_oracle(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    writes = [pattern[:, head] @ (x @ W) for head, W in enumerate(W_OV)]
    return torch.stack(writes, dim=1)


@frozen_attention.wrong(
    "W_OV is used transposed: its rows are what is read, so x meets its first d_model axis."
)
def circuit_transposed(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern, x, W_OV.mT)


@frozen_attention.wrong(
    "the pattern is used transposed: each query gathers over the keys, the last axis."
)
def pattern_transposed(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern.mT, x, W_OV)


@frozen_attention.wrong(
    "the heads are summed: keep the head axis, so that you can see who wrote what."
)
def writes_summed(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern, x, W_OV).sum(1)


@frozen_attention.wrong(
    "the pattern has not been used: that is what each position would write from itself alone."
)
def pattern_left_out(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return torch.einsum("bpm,hmn->bhpn", x, W_OV)


@frozen_attention.wrong(
    "W_OV has not been used: that is what each head has gathered, not what it writes."
)
def circuit_left_out(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return torch.einsum("bhqk,bkm->bhqm", pattern, x)


@frozen_attention.wrong("the head axis stands in another place: [batch, head, query, d_model].")
def head_axis_moved(pattern: Tensor, x: Tensor, W_OV: Tensor) -> Tensor:
    return _frozen_oracle(pattern, x, W_OV).transpose(1, 2)


slip(
    frozen_attention,
    "without_a_head_axis",
    "`pattern @ x @ W_OV` lines the heads up with the batch: x is [batch, key, d_model], without "
    "heads. Give x an axis of length 1 there, x[:, None], or name all axes in an einsum.",
    (
        'return einsum(\n        pattern,\n        x,\n        W_OV,\n        "batch head '
        'query key, batch key d_in, head d_in d_out -> batch head query d_out",\n    )',
        "return pattern @ x @ W_OV",
    ),
)
