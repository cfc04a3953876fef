"""Exercise `virtual_ov`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import axis_head, normal_head
from circuits_course.circuits.composition import HeadCircuits

virtual_ov = Exercise(
    "virtual_ov",
    difficulty=1,
    importance=4,
    minutes=4,
    hints=[
        "x leaves head a as x @ head_a.OV. What does head b make of that row vector?",
        "`@` between two FactoredMatrix objects gives a FactoredMatrix.",
        "head_a.OV @ head_b.OV",
    ],
)


@virtual_ov.cases
def _virtual_ov_cases() -> Iterator[Case]:
    first = axis_head(query=0, key=0, value=0, output=1)
    second = axis_head(query=0, key=0, value=1, output=2)
    yield Case("a head that moves axis 0 to axis 1, then one that moves 1 to 2", first, second)
    yield Case("random heads", normal_head(7, 3, seed=0), normal_head(7, 3, seed=1))
    yield Case(
        "random heads, the lower one wider",
        normal_head(9, 4, seed=2),
        normal_head(9, 2, seed=3),
    )


@virtual_ov.oracle
def _virtual_ov_oracle(head_a: HeadCircuits, head_b: HeadCircuits) -> Tensor:
    rows = torch.eye(head_a.W_V.shape[0])
    return torch.stack([x @ head_a.W_V @ head_a.W_O @ head_b.W_V @ head_b.W_O for x in rows])


@virtual_ov.observe
def _multiplied_out(out: FactoredMatrix, head_a: HeadCircuits, head_b: HeadCircuits) -> Tensor:
    return out.AB


@virtual_ov.prop
def kept_as_factors(out: Any, head_a: HeadCircuits, head_b: HeadCircuits) -> str | None:
    if isinstance(out, FactoredMatrix):
        return None
    return f"expected a FactoredMatrix, got a {type(out).__name__}; the cells below use its factors"


@virtual_ov.wrong(
    "the order is reversed. x @ (first matrix) @ (second matrix): with row vectors the lower head "
    "stands on the left."
)
def b_before_a(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return head_b.OV @ head_a.OV


@virtual_ov.wrong(
    "the product is multiplied out. It has the rank of one head at most: keep it as a "
    "FactoredMatrix, which `head_a.OV @ head_b.OV` is."
)
def multiplied_out(head_a: HeadCircuits, head_b: HeadCircuits) -> Tensor:
    return (head_a.OV @ head_b.OV).AB


@virtual_ov.wrong(
    "a sum of two OV matrices is what two heads of the same layer do. In sequence they multiply."
)
def summed(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return FactoredMatrix(
        torch.cat([head_a.W_V, head_b.W_V], 1), torch.cat([head_a.W_O, head_b.W_O])
    )


@virtual_ov.wrong(
    "the second matrix is QK. Head b's QK decides where it looks; what it moves goes through OV."
)
def through_qk(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return head_a.OV @ head_b.QK


@virtual_ov.wrong("the result is transposed: rows are what is read, columns are what is written.")
def transposed_result(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return (head_a.OV @ head_b.OV).T


@virtual_ov.wrong(
    "what lies between the heads is missing: between W_V of a and W_O of b stand W_O of a and W_V "
    "of b, through which a writes and b reads."
)
def outer_factors_only(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    width = min(head_a.W_V.shape[1], head_b.W_O.shape[0])
    return FactoredMatrix(head_a.W_V[:, :width], head_b.W_O[:width])


@virtual_ov.wrong(
    "the first head's input has been added: b reads the token itself as well. A virtual head"
    " is the product alone."
)
def with_the_direct_step(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return FactoredMatrix(head_b.W_V + head_a.W_V @ head_a.W_O @ head_b.W_V, head_b.W_O)


@virtual_ov.wrong(
    "the first head's OV is transposed. Rows are what is read: its OV stands as it is."
)
def first_one_turned(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return FactoredMatrix(head_a.W_O.mT, head_a.W_V.mT) @ head_b.OV


@virtual_ov.wrong("the first head stands there twice and the second not at all: a first, then b.")
def first_one_twice(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return head_a.OV @ head_a.OV


@virtual_ov.wrong(
    "the first matrix is QK. Head a's QK decides where it looks; what it writes has gone "
    "through its OV."
)
def first_one_looks(head_a: HeadCircuits, head_b: HeadCircuits) -> FactoredMatrix:
    return head_a.QK @ head_b.OV
