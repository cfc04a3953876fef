"""Exercise `copying_score`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal, random_model
from circuits_course.checks.slips import slip

copying_score = Exercise(
    "copying_score",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=[
        "What would it mean for a token's eigenvalue to be positive? Attending to that token "
        "raises its own logit. The score asks how the positive ones weigh against the others.",
        "A B is [d_vocab, d_vocab]: 10 GB for a real vocabulary. B A is r by r and has the same "
        "non-zero eigenvalues. What are the names of the two factors?",
        "torch.linalg.eigvals(W_full_OV.B @ W_full_OV.A). Eigenvalues may be complex: add them "
        "(pairs cancel their imaginary parts), and divide by the sum of their absolute values.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def _with_eigenvalues(blocks: Sequence[Sequence[Sequence[float]]], d_vocab: int, seed: int):
    """A factored matrix [d_vocab, d_vocab] with the eigenvalues of the given small blocks."""
    core = torch.block_diag(*[torch.tensor(block) for block in blocks])
    A = normal(d_vocab, len(core), seed=seed)
    inverse = torch.linalg.pinv(A)
    return FactoredMatrix(A @ core, inverse)


def _real(*eigenvalues: float) -> list[list[list[float]]]:
    return [[[value]] for value in eigenvalues]


def _too_large_to_multiply() -> FactoredMatrix:
    """8 million tokens: the product would take 256 TB, more than any address space has."""
    n = 8_000_000
    A, B = torch.zeros(n, 1), torch.zeros(1, n)
    A[:4], B[:, :4] = normal(4, 1, seed=8), normal(1, 4, seed=8)
    return FactoredMatrix(A, B)


@copying_score.cases
def _copying_cases() -> Iterator[Case]:
    yield Case("eigenvalues 3, 1 and -2", _with_eigenvalues(_real(3.0, 1.0, -2.0), 7, 0))
    yield Case("a head that copies every token", FactoredMatrix(torch.eye(5), 2 * torch.eye(5)))
    yield Case("a head that suppresses what it attends to",
               FactoredMatrix(-torch.eye(4), torch.eye(4)))  # fmt: skip
    turn = [[1.0, -3.0], [3.0, 1.0]]
    yield Case("complex eigenvalues 1 + 3i and 1 - 3i beside a real 2",
               _with_eigenvalues([turn, [[2.0]]], 9, 1))  # fmt: skip
    yield Case("random factors", FactoredMatrix(normal(12, 5, seed=2), normal(5, 12, seed=3)))
    model = random_model(seed=4)
    full_OV = FactoredMatrix(model.W_E @ model.W_V[1, 2], model.W_O[1, 2] @ model.W_U)
    yield Case("layer 1, head 2 of a random model", full_OV)
    yield Case("a vocabulary of 8 million", _too_large_to_multiply())


@copying_score.oracle
def _copying_oracle(W_full_OV: FactoredMatrix) -> float:
    """The long way, over the whole matrix; the one too large for it copies in one direction."""
    if len(W_full_OV.A) > 1000:
        return 1.0
    values = torch.linalg.eigvals(W_full_OV.A.double() @ W_full_OV.B.double()).tolist()
    return sum(values).real / sum(abs(value) for value in values)


def _eigenvalues(W_full_OV: FactoredMatrix) -> Tensor:
    return torch.linalg.eigvals(W_full_OV.B @ W_full_OV.A)


@copying_score.wrong(
    "you multiplied the factors out to [d_vocab, d_vocab], which no memory holds for a large "
    "vocabulary. B @ A is small and has the same non-zero eigenvalues."
)
def multiplied_out(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = torch.linalg.eigvals(W_full_OV.A @ W_full_OV.B)
    return eigenvalues.sum().real / eigenvalues.abs().sum()


@copying_score.wrong(
    "this is the share of positive eigenvalues; the score weighs each by its size."
)
def share_of_positive(W_full_OV: FactoredMatrix) -> Tensor:
    return (_eigenvalues(W_full_OV).real > 0).float().mean()


@copying_score.wrong(
    "in the denominator stand the absolute values of the real parts. |a + bi| is sqrt(a² + b²): "
    "take abs() of the complex numbers."
)
def real_parts_only(W_full_OV: FactoredMatrix) -> Tensor:
    real = _eigenvalues(W_full_OV).real
    return real.sum() / real.abs().sum()


@copying_score.wrong(
    "the numerator is the absolute value of the sum, so a head that suppresses looks as if it "
    "copied."
)
def sign_lost(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = _eigenvalues(W_full_OV)
    return eigenvalues.sum().abs() / eigenvalues.abs().sum()


@copying_score.wrong(
    "this is the sum of the eigenvalues alone, which grows with the head's size: divide by the sum "
    "of their absolute values."
)
def not_normalised(W_full_OV: FactoredMatrix) -> Tensor:
    return _eigenvalues(W_full_OV).sum().real


@copying_score.wrong(
    "these are singular values, which are never negative. Whether a token maps onto *itself* is a "
    "question for eigenvalues."
)
def singular_values(W_full_OV: FactoredMatrix) -> Tensor:
    core = W_full_OV.B @ W_full_OV.A
    return _eigenvalues(W_full_OV).sum().real / torch.linalg.svdvals(core).sum()


@copying_score.wrong(
    "`eigvalsh` is for symmetric matrices; this one is not symmetric: use `eigvals`."
)
def as_if_symmetric(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = torch.linalg.eigvalsh(W_full_OV.B @ W_full_OV.A)
    return eigenvalues.sum() / eigenvalues.abs().sum()


@copying_score.wrong(
    "this ratio is always 1: in the denominator the eigenvalues stand with their signs, or all of "
    "them are singular values, which have none."
)
def divided_by_itself(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = _eigenvalues(W_full_OV)
    return (eigenvalues.sum() / eigenvalues.sum()).real


@copying_score.wrong(
    "these are the entries on the diagonal of B A. They have the same sum as the eigenvalues, but "
    "not the same absolute values."
)
def diagonal_entries(W_full_OV: FactoredMatrix) -> Tensor:
    diagonal = (W_full_OV.B @ W_full_OV.A).diagonal()
    return diagonal.sum() / diagonal.abs().sum()


@copying_score.wrong(
    "this is still a complex number, though its imaginary part is next to nothing: take `.real`."
)
def still_complex(W_full_OV: FactoredMatrix) -> Tensor:
    eigenvalues = _eigenvalues(W_full_OV)
    return eigenvalues.sum() / eigenvalues.abs().sum()


slip(
    copying_score,
    "over_the_largest",
    "the sum is divided by the largest eigenvalue. Divide by the sum of all their absolute values.",
    (".abs().sum()", ".abs().max()"),
)


slip(
    copying_score,
    "diagonal_for_eigenvalues",
    "these are diagonal entries, not eigenvalues: a head that raises every token would seem "
    "to copy. torch.linalg.eigvals of B @ A.",
    (
        "torch.linalg.eigvals(W_full_OV.B @ W_full_OV.A)",
        "(W_full_OV.A * W_full_OV.B.T).sum(-1).to(torch.complex64)",
    ),
)


slip(
    copying_score,
    "made_symmetric",
    "the matrix was made symmetric first, which makes all eigenvalues real and changes them.",
    (
        "W_full_OV.B @ W_full_OV.A",
        "(W_full_OV.B @ W_full_OV.A + (W_full_OV.B @ W_full_OV.A).T) / 2",
    ),
)
