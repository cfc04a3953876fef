"""Exercise `attention_scores`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

attention_scores = Exercise(
    "attention_scores",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=[
        "Take one sequence and one head. Entry [i, j] of the result is one number made of two "
        "vectors. Which two?",
        "q and k both call their third axis pos. In the result they are two different axes, so "
        "einsum needs two different names for them: query and key.",
        'The pattern is "batch head query d_head, batch head key d_head -> batch head query key". '
        "Then divide by the square root of d_head.",
    ],
)


@attention_scores.cases
def _score_cases() -> Iterator[Case]:
    q = torch.tensor([[2.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 6.0, 0]]).repeat(1, 2, 1, 1)
    k = torch.tensor([[1.0, 0, 0, 0], [3.0, 5.0, 0, 0], [0, 0, 1.0, 0]]).repeat(1, 2, 1, 1)
    yield Case("two heads with three queries and three keys of four numbers", q, k)
    yield Case("random numbers", normal(2, 3, 5, 7), normal(2, 3, 5, 7, seed=1))
    yield Case("equal sizes everywhere", normal(4, 4, 4, 4, seed=2), normal(4, 4, 4, 4, seed=3))
    yield Case("scores in the hundreds", 30 * normal(2, 2, 3, 5, seed=6), 20 * normal(2, 2, 3, 5))
    yield Case("long vectors", normal(3, 2, 6, 64, seed=4), normal(3, 2, 6, 64, seed=5))


@attention_scores.oracle
def _scores_oracle(q: Tensor, k: Tensor) -> Tensor:
    batch, head, pos, d_head = q.shape
    scores = torch.zeros(batch, head, pos, pos)
    for i in range(pos):
        for j in range(pos):
            scores[:, :, i, j] = (q[:, :, i] * k[:, :, j]).sum(-1) / math.sqrt(d_head)
    return scores


@attention_scores.wrong(
    "the scale is missing. Divide the dot products by the square root of d_head; the next exercise "
    "measures what happens without it."
)
def unscaled(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT


@attention_scores.wrong(
    "you divided by d_head. The standard deviation of a dot product grows with the square root "
    "of the number of terms, so that is what to divide by."
)
def scaled_by_d_head(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / q.shape[-1]


@attention_scores.wrong(
    "query and key are exchanged: rows are queries. scores[..., i, j] takes q at i and k at j."
)
def keys_in_rows(q: Tensor, k: Tensor) -> Tensor:
    return _scores_oracle(k, q)


@attention_scores.wrong(
    "you took the wrong size for the scale: d_head is the last axis of q. The number of positions "
    "has no part in it."
)
def scaled_by_positions(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / q.shape[-2] ** 0.5


@attention_scores.wrong(
    "each query was compared with the key of its own position alone. Give the two position axes "
    "different names, so that every query meets every key."
)
def same_position_only(q: Tensor, k: Tensor) -> Tensor:
    return (q * k).sum(-1) / q.shape[-1] ** 0.5


@attention_scores.wrong(
    "you multiplied the scores by the square root of d_head instead of dividing by it."
)
def multiplied_by_root(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT * q.shape[-1] ** 0.5


@attention_scores.wrong(
    "positions were summed over and d_head was kept: the result compares the entries of the "
    "vectors, not the positions. The axis to sum over is d_head."
)
def summed_over_positions(q: Tensor, k: Tensor) -> Tensor:
    return q.mT @ k / q.shape[-1] ** 0.5


@attention_scores.wrong("only q is used: the scores compare queries with keys, not with queries.")
def keys_left_out(q: Tensor, k: Tensor) -> Tensor:
    return _scores_oracle(q, q)


@attention_scores.wrong(
    "these rows sum to 1, so a softmax has been taken already. Scores come before it."
)
def softmax_too_early(q: Tensor, k: Tensor) -> Tensor:
    return _scores_oracle(q, k).softmax(-1)


slip(
    attention_scores,
    "scaled_by_heads",
    "you divided by the root of the number of heads. A score is a sum of d_head products, and "
    "d_head is the last axis.",
    ("d_head = q.shape[-1]", "d_head = q.shape[1]"),
)


slip(
    attention_scores,
    "cosines",
    "these are cosines: the vectors were divided by their lengths. Divide by sqrt(d_head) only, "
    "so that a long query asks more firmly.",
    (
        "    # END BLANK",
        "    scores = scores / (q.norm(dim=-1)[..., None] * k.norm(dim=-1)[..., None, :])\n    "
        "# END BLANK",
    ),
)


slip(
    attention_scores,
    "masked_too_early",
    "the future is masked already. That is the next step, in a function of its own.",
    (
        "return scores / d_head**0.5",
        "return (scores / d_head**0.5).masked_fill(torch.ones_like(scores[0, "
        "0]).triu(1).bool(), -torch.inf)",
    ),
)


@attention_scores.wrong(
    "each query and each key was divided by its own length, which makes a cosine of the "
    "score. Lengths count: the dot product, over sqrt(d_head)."
)
def cosines_unscaled(q: Tensor, k: Tensor) -> Tensor:
    return torch.nn.functional.normalize(q, dim=-1) @ torch.nn.functional.normalize(k, dim=-1).mT
