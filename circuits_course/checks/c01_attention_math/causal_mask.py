"""Exercise `causal_mask`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c01_attention_math.shared import triangle
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

causal_mask = Exercise(
    "causal_mask",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "Draw the square for three positions: row = query, column = key. Which of the nine cells "
        "would let a query look at a later token?",
        "`torch.triu` keeps the upper right triangle. Its `diagonal` argument decides whether the "
        "diagonal belongs to it: a position may look at itself.",
        "torch.ones(n_pos, n_pos, dtype=torch.bool).triu(diagonal=1) is True where the mask goes. "
        "`masked_fill` returns a new tensor; `masked_fill_` changes the one it is given.",
    ],
)


@causal_mask.cases
def _mask_cases() -> Iterator[Case]:
    yield Case("three positions whose scores are all 1", torch.ones(1, 1, 3, 3))
    yield Case("random scores", normal(2, 3, 5, 5))
    yield Case("very low scores", normal(3, 2, 4, 4, seed=1) - 300.0)
    yield Case("scores lower than any model's", normal(1, 2, 3, 3, seed=4) - 2e4)
    yield Case("scores that are all 0", torch.zeros(1, 2, 3, 3))
    yield Case("one position only", normal(2, 2, 1, 1, seed=2))
    yield Case("as many heads as positions", normal(4, 4, 4, 4, seed=3) * 10)


@causal_mask.observe
def _masked_view(masked: Tensor, scores: Tensor) -> Any:
    """What is left of the allowed scores, and the attention that the mask leads to."""
    if not isinstance(masked, Tensor) or masked.shape != scores.shape:
        return masked
    i, j = torch.tril_indices(*scores.shape[-2:])
    return {
        "allowed scores": masked[..., i, j],
        "attention after a softmax": masked.double().softmax(-1),
    }


@causal_mask.oracle
def _mask_oracle(scores: Tensor) -> Any:
    masked = scores.clone()
    for i in range(scores.shape[-2]):
        masked[..., i, i + 1 :] = -torch.inf
    return _masked_view(masked, scores)


@causal_mask.wrong(
    "the diagonal is masked too. A position may look at itself, and the first one has nothing "
    "else: its whole row became -inf. Use triu with diagonal=1."
)
def diagonal_masked(scores: Tensor) -> Tensor:
    return scores.masked_fill(triangle(scores, 0), -torch.inf)


@causal_mask.wrong(
    "you masked the past instead of the future. Rows are queries: key j lies in the future of "
    "query i where j > i, the upper right triangle."
)
def past_masked(scores: Tensor) -> Tensor:
    return scores.masked_fill(triangle(scores, 1).T, -torch.inf)


@causal_mask.wrong(
    "you put zeros there (or multiplied by a mask of zeros and ones). Zero is a score like any "
    "other: after the softmax it becomes exp(0) = 1 before normalising, not 0. Fill with -inf."
)
def filled_with_zero(scores: Tensor) -> Tensor:
    return scores.tril()


@causal_mask.wrong(
    "the fill is not low enough: scores lower than it occur, and then the future wins. Use -inf, "
    "or something near the lowest number that the dtype can hold."
)
def filled_with_a_small_number(scores: Tensor) -> Tensor:
    return scores.masked_fill(triangle(scores, 1), -100.0)


@causal_mask.wrong(
    "you added -inf times a mask of zeros and ones, and 0 * inf is NaN. Choose with masked_fill or "
    "torch.where instead of multiplying."
)
def infinity_times_zero(scores: Tensor) -> Tensor:
    return scores + triangle(scores, 1).float() * -torch.inf


@causal_mask.wrong(
    "each query still sees one token too many, the next one: triu(diagonal=2) leaves it free."
)
def next_token_left(scores: Tensor) -> Tensor:
    return scores.masked_fill(triangle(scores, 2), -torch.inf)


@causal_mask.wrong(
    "where a future score is exactly 0 it is left as it is: the mask was read off the scores. It "
    "depends on the places alone: make it from ones."
)
def mask_from_the_scores(scores: Tensor) -> Tensor:
    return scores.masked_fill(scores.triu(1) != 0, -torch.inf)


@causal_mask.wrong("nothing is masked: return the new tensor that masked_fill makes.")
def nothing_masked(scores: Tensor) -> Tensor:
    return scores.clone()


@causal_mask.wrong(
    "that was done in place (a trailing underscore, or an assignment into `scores`), and the "
    "caller lost its scores."
)
def masked_in_place(scores: Tensor) -> Tensor:
    return scores.masked_fill_(triangle(scores, 1), -torch.inf)


@causal_mask.wrong(
    "a softmax has been taken already. This step only masks; the next exercise adds the softmax."
)
def softmax_included(scores: Tensor) -> Tensor:
    return scores.masked_fill(triangle(scores, 1), -torch.inf).softmax(-1)


slip(
    causal_mask,
    "filled_with_nan",
    "the future becomes NaN in the softmax: the fill is NaN, or plus infinity. Use -torch.inf.",
    ("-torch.inf", "torch.nan"),
)


slip(
    causal_mask,
    "last_column_only",
    "only the last key is hidden. Every query has its own future: all keys j > i.",
    (
        "return scores.masked_fill(future, -torch.inf)",
        "masked = scores.clone()\n    masked[..., :-1, -1] = -torch.inf\n    return masked",
    ),
)


slip(
    causal_mask,
    "the_mask_itself",
    "this is the mask. Return the scores with -inf where it is True.",
    ("return scores.masked_fill(future, -torch.inf)", "return future"),
)


slip(
    causal_mask,
    "as_large_as_the_heads",
    "the square is as large as the number of heads. Its sides are positions: scores.shape[-1].",
    ("scores.shape[-1]", "scores.shape[1]"),
)


slip(
    causal_mask,
    "mask_alone",
    "this is the mask by itself, 0 and -inf. The scores have to be in it: masked_fill of the"
    " scores.",
    ("return scores.masked_fill", "return torch.zeros_like(scores).masked_fill"),
)


@causal_mask.wrong(
    "the first key is masked as well. BOS lies in the past of every query: everybody may "
    "look at it."
)
def first_key_masked(scores: Tensor) -> Tensor:
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    future[1:, 0] = True
    return scores.masked_fill(future, -torch.inf)


slip(
    causal_mask,
    "lowest_score_for_infinity",
    "the lowest of the scores is a score like any other: after the softmax the future still "
    "gets something. Fill with -inf.",
    (
        "-torch.inf",
        "scores.min().item() - 1.0",
    ),
)
