"""Exercise `qk_circuit`."""

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
from circuits_course.checks.slips import slip

qk_circuit = Exercise(
    "qk_circuit",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Write a score out: (x_query @ W_Q) dot (x_key @ W_K). As one row of matrices from left to "
        "right, what stands between x_query and x_key?",
        "The dot product with x_key @ W_K is a product with its transpose: x_query @ W_Q @ W_K^T @ "
        "x_key^T.",
        "FactoredMatrix(W_Q, W_K.transpose(-2, -1)) holds the product without multiplying it out. "
        "transpose(-2, -1) leaves leading axes alone; .T turns all of them around.",
    ],
)


@qk_circuit.cases
def _qk_cases() -> Iterator[Case]:
    yield Case("one head that matches x[0] of the query with x[1] of the key",
               torch.eye(3)[:, :1], torch.eye(3)[:, 1:2])  # fmt: skip
    yield Case("one random head", normal(7, 4), normal(7, 4, seed=1))
    yield Case("all heads of a layer", normal(3, 8, 5, seed=2), normal(3, 8, 5, seed=3))
    yield Case("layers and heads", normal(2, 3, 6, 2, seed=4), normal(2, 3, 6, 2, seed=5))


qk_circuit.observe(product_view)

qk_circuit.prop(d_model_squared)

qk_circuit.prop(factored)


@qk_circuit.oracle
def _qk_oracle(W_Q: Tensor, W_K: Tensor) -> dict[str, Any]:
    return product_oracle(torch.einsum("...md,...nd->...mn", W_Q, W_K), W_Q.shape[-1])


@qk_circuit.wrong(
    "queries and keys are exchanged. Rows are the query side: W_Q comes first, W_K transposed."
)
def key_side_in_rows(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_K, W_Q.mT)


@qk_circuit.wrong(
    "the product is multiplied out: d_model x d_model numbers where the factors have 2 x d_model "
    "x d_head, and the low rank, which is the point, no longer shows. Hand the factors to "
    "FactoredMatrix."
)
def query_key_multiplied_out(W_Q: Tensor, W_K: Tensor) -> Tensor:
    return W_Q @ W_K.mT


@qk_circuit.wrong(
    "you multiplied over d_model: the result compares the head's inner dimensions. The axis to sum "
    "over is d_head; the result is d_model x d_model."
)
def summed_over_d_model(W_Q: Tensor, W_K: Tensor) -> Tensor:
    return W_Q.mT @ W_K


@qk_circuit.wrong(
    "you multiplied first and wrapped the whole product, so its inner axis is d_model and the low "
    "rank is lost. Give FactoredMatrix the two thin factors themselves."
)
def wrapped_product(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q @ W_K.mT, torch.eye(W_Q.shape[-2]))


@qk_circuit.wrong(
    "W_K has to be transposed: both factors are [d_model, d_head], and the axes that meet must be "
    "the two d_head."
)
def key_not_transposed(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q, W_K)


@qk_circuit.wrong(
    "the scale is in it. The QK circuit is the bare product; the division by sqrt(d_head) belongs "
    "to the scores."
)
def scale_included(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q, W_K.mT / W_Q.shape[-1] ** 0.5)


@qk_circuit.wrong(
    "`.T` turns around all axes, the heads' as well. Exchange the last two only: .transpose(-2, "
    "-1) or .mT."
)
def all_axes_turned(W_Q: Tensor, W_K: Tensor) -> FactoredMatrix:
    return FactoredMatrix(W_Q, W_K.permute(*reversed(range(W_K.ndim))))


slip(
    qk_circuit,
    "factors_turned",
    "each factor is transposed, so that the product compares the head's inner dimensions. "
    "W_Q stands as it is, and W_K is transposed.",
    ("FactoredMatrix(W_Q, W_K.transpose(-2, -1))", "FactoredMatrix(W_Q.transpose(-2, -1), W_K)"),
)
