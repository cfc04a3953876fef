"""Exercise `read_feature`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.behaviour import (
    other_basis,
    sequences,
)
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import small_basis

read_feature = Exercise(
    "read_feature",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "A residual vector is a sum of directions, each times a number. Which operation with one "
        "direction makes all the others vanish, given that they are at right angles to it?",
        "The dot product with the direction: its own part gives the number, every other part 0. "
        "One dot product for each position of each sequence.",
        "resid @ direction, or an einsum that sums over d_model and keeps batch and pos.",
    ],
)


@read_feature.cases
def _read_cases() -> Iterator[Case]:
    basis, tokens = small_basis(), torch.tensor([[0, 1, 8]])
    yield Case("BOS a 3, whose 'value' is 0, 0, 3", basis.W_E[tokens], basis.direction("value"))
    rotated = other_basis()
    yield Case("random symbols in a rotated basis", rotated.W_E[sequences(rotated, batch=3)],
               rotated.direction("height"))  # fmt: skip
    direction = normal(7, seed=2)
    yield Case("random vectors", normal(2, 5, 7), direction / direction.norm())


@read_feature.oracle
def _read_oracle(resid: Tensor, direction: Tensor) -> Tensor:
    rows = [
        [sum(float(x) * float(d) for x, d in zip(vector, direction, strict=True)) for vector in row]
        for row in resid
    ]
    return torch.tensor(rows)


@read_feature.wrong(
    "you multiplied entry by entry and stopped. The amount is one number per position: sum the "
    "products over d_model."
)
def elementwise(resid: Tensor, direction: Tensor) -> Tensor:
    return resid * direction


@read_feature.wrong(
    "this is the part of the vector that lies along the direction, still a vector. Asked for is "
    "the number in front of it."
)
def projection(resid: Tensor, direction: Tensor) -> Tensor:
    return (resid @ direction)[..., None] * direction


@read_feature.wrong(
    "you divided by the length of the residual vector (a cosine). How much of the feature is there "
    "must not depend on what else is written in the same vector."
)
def cosine(resid: Tensor, direction: Tensor) -> Tensor:
    return torch.cosine_similarity(resid, direction, dim=-1)


@read_feature.wrong(
    "you read one coordinate. A direction is in general a mixture of coordinates; in a rotated "
    "basis no coordinate is the feature."
)
def one_coordinate(resid: Tensor, direction: Tensor) -> Tensor:
    return resid[..., int(direction.abs().argmax())]


@read_feature.wrong("you summed everything that is written there, whatever its direction.")
def everything(resid: Tensor, direction: Tensor) -> Tensor:
    return resid.sum(-1)


@read_feature.wrong(
    "you averaged over d_model instead of summing: a dot product is the sum of the products."
)
def mean_of_products(resid: Tensor, direction: Tensor) -> Tensor:
    return (resid * direction).mean(-1)


slip(
    read_feature,
    "centred_first",
    "each vector's mean was taken off first. The amount is the dot product with the direction, "
    "no more.",
    (
        "resid @ direction",
        "(resid - resid.mean(-1, keepdim=True)) @ direction",
    ),
)
