"""Exercise `composition_score`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import axis_head, normal_head
from circuits_course.checks.slips import slip
from circuits_course.circuits.composition import HeadCircuits

composition_score = Exercise(
    "composition_score",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "A row vector x leaves the source as x @ OV. Where does it arrive: as the query x of "
        "x @ QK @ y.T, as its key y, or at the values of the target?",
        "For queries x @ OV takes the place of x, so the product is OV @ QK. For keys it takes the "
        "place of y: transpose the whole expression, and y comes first.",
        'The three matrices that meet it: target.QK for "Q", target.QK.T for "K", target.OV for '
        '"V".',
    ],
)


@composition_score.cases
def _score_cases() -> Iterator[Case]:
    source = axis_head(query=2, key=2, value=0, output=1)
    by_key = axis_head(query=0, key=1, value=2, output=3)
    yield Case("a target whose keys read exactly what the source writes", "K", source, by_key)
    yield Case("a target whose queries read something else", "Q", source, by_key)
    yield Case(
        "a target whose values read exactly what the source writes", "V", source,
        axis_head(query=0, key=0, value=1, output=3),
    )  # fmt: skip
    for seed, kind in enumerate("KQVQKV"):
        sizes = (7 + seed, 2 + seed % 3)
        source, target = (
            normal_head(*sizes, seed=seed),
            normal_head(7 + seed, 4, seed=seed + 50),
        )
        yield Case(f"random heads, kind {kind!r}", kind, source, target)


def _products(source: HeadCircuits, target: HeadCircuits) -> dict[str, tuple[Tensor, Tensor]]:
    OV = source.W_V @ source.W_O
    QK = target.W_Q @ target.W_K.mT
    return {"Q": (OV, QK), "K": (OV, QK.mT), "V": (OV, target.W_V @ target.W_O)}


def _size(matrix: Tensor) -> Tensor:
    return (matrix**2).sum().sqrt()


@composition_score.oracle
def _score_oracle(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(written @ read) / _size(written) / _size(read)


@composition_score.wrong(
    "queries and keys are exchanged. QK has its query side in the rows, so `OV @ QK` puts the "
    "source's write into the query; for keys QK has to be transposed."
)
def queries_for_keys(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    return _score_oracle({"Q": "K", "K": "Q", "V": "V"}[kind], source, target)


@composition_score.wrong(
    "the product is the wrong way round. With row vectors the source acts first, so it stands on "
    "the left: source.OV @ ..., not ... @ source.OV (the paper has column vectors)."
)
def target_on_the_left(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(read @ written) / _size(written) / _size(read)


@composition_score.wrong(
    "the score is not divided by the norms of the two matrices, so large weights look like good "
    "composition."
)
def not_normalised(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(3.0 * written @ read) / 3.0


@composition_score.wrong(
    "one norm is missing below the line: divide by the source's and by the target's."
)
def one_norm_missing(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(written @ read) / _size(written)


@composition_score.wrong(
    "that is the square of the score: the Frobenius norm is the root of the sum of squares."
)
def squared(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    return _score_oracle(kind, source, target) ** 2


@composition_score.wrong(
    "these are spectral norms (the largest singular value). The score is defined with Frobenius "
    "norms, `.norm()` of a FactoredMatrix."
)
def spectral(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    norm = torch.linalg.matrix_norm
    written, read = _products(source, target)[kind]
    return norm(written @ read, 2) / norm(written, 2) / norm(read, 2)


@composition_score.wrong(
    "the source's OV is transposed: you compared what the source *reads* with the target. What it "
    "writes is the column side of OV."
)
def what_the_source_reads(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    return _size(written.mT @ read) / _size(written) / _size(read)


@composition_score.wrong(
    "below the line stand the norms of the factors (W_V, W_O, ...). Divide by the norms of their "
    "products, OV and QK: a product can be much smaller than its factors."
)
def norms_of_factors(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    written, read = _products(source, target)[kind]
    factors = (target.W_V, target.W_O) if kind == "V" else (target.W_Q, target.W_K)
    below = math.prod(_size(w) for w in (source.W_V, source.W_O, *factors))
    return _size(written @ read) / below


@composition_score.wrong(
    "all three kinds give the value circuit's score: choose QK, its transpose, or OV by `kind`."
)
def always_values(kind: str, source: HeadCircuits, target: HeadCircuits) -> Tensor:
    return _score_oracle("V", source, target)


slip(
    composition_score,
    "values_turned",
    "for V the OV circuit is transposed. Rows are what is read: what the source writes meets "
    "them as they are.",
    ('"V": target.OV', '"V": target.OV.T'),
)


slip(
    composition_score,
    "divided_by_the_sum",
    "you divided by the sum of the two lengths; by their product.",
    ("written.norm() * read.norm()", "written.norm() + read.norm()"),
)


slip(
    composition_score,
    "keys_not_transposed",
    "for keys QK has to be transposed. Its rows are the query side, so `OV @ QK` puts the "
    "source's write into the query.",
    ("target.QK.T", "target.QK"),
)


slip(
    composition_score,
    "source_looks",
    "the source's QK stands for what it writes. QK says where it looks; what it writes goes "
    "through its OV.",
    ("written = source.OV", "written = source.QK"),
)
