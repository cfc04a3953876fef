"""Exercise `ov_circuit`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c01_attention_math.shared import (
    d_model_squared,
    factored,
    product_oracle,
    product_view,
)
from circuits_course.checks.inputs import normal

ov_circuit = Exercise(
    "ov_circuit",
    difficulty=2,
    importance=4,
    minutes=5,
    hints=[
        "A head that attends to one key alone writes (x_key @ W_V) @ W_O. What stands after x_key?",
        "Both meet at d_head already: nothing to transpose in the order W_V, W_O.",
        "FactoredMatrix(W_V, W_O).",
    ],
)


@ov_circuit.cases
def _ov_cases() -> Iterator[Case]:
    yield Case("one head that reads x[0] and writes to x[1]",
               torch.eye(3)[:, :1], torch.eye(3)[1:2])  # fmt: skip
    yield Case("one random head", normal(7, 4), normal(4, 7, seed=1))
    yield Case("all heads of a layer", normal(3, 8, 5, seed=2), normal(3, 5, 8, seed=3))
    yield Case("layers and heads", normal(2, 3, 6, 2, seed=4), normal(2, 3, 2, 6, seed=5))


ov_circuit.observe(product_view)

ov_circuit.prop(d_model_squared)

ov_circuit.prop(factored)


@ov_circuit.oracle
def _ov_oracle(W_V: Tensor, W_O: Tensor) -> dict[str, Any]:
    return product_oracle(torch.einsum("...md,...dn->...mn", W_V, W_O), W_V.shape[-1])


@ov_circuit.wrong(
    "W_O stands first, as in papers that multiply columns from the left (W_O W_V). Here vectors "
    "are rows and are multiplied from the right: first W_V, then W_O."
)
def output_first(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_O, W_V)


@ov_circuit.wrong(
    "this is the transpose: rows are what is read, columns what is written. Papers with column "
    "vectors have it the other way round."
)
def written_in_rows(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_O.mT, W_V.mT)


@ov_circuit.wrong(
    "the product is multiplied out, so the low rank no longer shows. Hand W_V and W_O to "
    "FactoredMatrix."
)
def value_output_multiplied_out(W_V: Tensor, W_O: Tensor) -> Tensor:
    return W_V @ W_O


@ov_circuit.wrong(
    "the heads are summed. Each head has its own OV circuit, because each has its own pattern."
)
def circuits_summed(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    if W_V.ndim == 2:
        return FactoredMatrix(W_V, W_O)
    return FactoredMatrix(W_V.sum(-3), W_O.sum(-3))


@ov_circuit.wrong(
    "you multiplied first and wrapped the whole product: its inner axis is d_model. Give "
    "FactoredMatrix the two thin factors."
)
def wrapped_write(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(torch.eye(W_V.shape[-2]), W_V @ W_O)


@ov_circuit.wrong(
    "W_O is transposed, which it need not be: W_V ends in d_head, W_O begins with it."
)
def output_transposed(W_V: Tensor, W_O: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_V, W_O.mT)
