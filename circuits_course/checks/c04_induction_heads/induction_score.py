"""Exercise `induction_score`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c04_induction_heads.shared import mean_attention, second_copy
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

induction_score = Exercise(
    "induction_score",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "Draw the 7 x 7 pattern for BOS q x b q x b and mark the cells that should be dark: what "
        "shape do they make?",
        "For query i the same token stood at i - period. The token after it stands one further on. "
        "Which diagonal is that? And which queries belong to the second copy?",
        "`pattern.diagonal(offset, dim1, dim2)` runs along queries and keys together; its offset "
        "is key minus query. The last `period` of its entries belong to the second copy. A loop "
        "over queries 1 + period, ..., 2 * period is as good.",
    ],
)


def _looking(period: int, target: Callable[[int], int]) -> Tensor:
    """A pattern on [BOS, copy, copy] whose every query looks at one key only, BOS if none fits."""
    n_pos = 1 + 2 * period
    pattern = torch.zeros(n_pos, n_pos)
    for q in range(n_pos):
        pattern[q, target(q) if 0 <= target(q) <= q else 0] = 1.0
    return pattern


def _causal(*shape: int, seed: int) -> Tensor:
    """Random attention patterns of the shape [..., q, k]."""
    future = torch.ones(shape[-2:]).triu(1).bool()
    return (2 * normal(*shape, seed=seed)).masked_fill(future, -torch.inf).softmax(-1)


@induction_score.cases
def _score_cases() -> Iterator[Case]:
    yield Case("a perfect induction head", _looking(3, lambda q: q - 2), 3)
    yield Case("a head that attends only to the earlier copy of the same token",
               _looking(5, lambda q: q - 5), 5)  # fmt: skip
    yield Case("a head that attends only to the token before", _looking(6, lambda q: q - 1), 6)
    halves = (_looking(4, lambda q: q - 3) + _looking(4, lambda q: 0)) / 2
    yield Case("one head that spends half of its attention on the right place, and one on BOS",
               torch.stack([halves, _looking(4, lambda q: 0)]), 4)  # fmt: skip
    yield Case("random patterns", _causal(3, 4, 21, 21, seed=1), 10)
    yield Case("random patterns", _causal(2, 15, 15, seed=2), 7)
    yield Case("patterns of several layers", _causal(2, 3, 5, 9, 9, seed=3), 4)


@induction_score.oracle
def _score_oracle(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, range(1 + period, 1 + 2 * period), lambda q: q - period + 1)


@induction_score.wrong(
    "you measured the duplicate-token diagonal. From query i the same token stood at i - period; "
    "the induction target is one further on."
)
def duplicate_token(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, second_copy(period), lambda q: q - period)


@induction_score.wrong(
    "you measured the token *before* the first occurrence. What followed it stands at i - period + "
    "1."
)
def token_before(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, second_copy(period), lambda q: q - period - 1)


@induction_score.wrong(
    "your target is two after the first occurrence: for query i, the key is i - period + 1."
)
def two_after(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, second_copy(period), lambda q: q - period + 2)


@induction_score.wrong(
    "this is the previous-token diagonal, the attention from i to i - 1 (chapter 03)."
)
def previous_token(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, second_copy(period), lambda q: q - 1)


@induction_score.wrong(
    "your score uses keys as rows. pattern[q, k]: q is the one who looks, k is looked at."
)
def keys_as_rows(pattern: Tensor, period: int) -> Tensor:
    return _score_oracle(pattern.mT, period)


@induction_score.wrong(
    "you divide by all queries, the first copy's too, where there is nothing to look back to. "
    "Queries of the second copy start at 1 + period."
)
def divided_by_all_queries(pattern: Tensor, period: int) -> Tensor:
    return _score_oracle(pattern, period) * period / pattern.shape[-1]


@induction_score.wrong(
    "you took the whole diagonal. Its first two entries belong to queries of the first copy: take "
    "the last `period`."
)
def whole_diagonal(pattern: Tensor, period: int) -> Tensor:
    return pattern.diagonal(1 - period, -2, -1).mean(-1)


@induction_score.wrong(
    "your queries start at `period`, the last token of the first copy. BOS takes position 0, so "
    "the second copy starts at 1 + period."
)
def forgot_bos(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, range(period, 2 * period), lambda q: q - period + 1)


@induction_score.wrong(
    "the last query is missing: the second copy runs from 1 + period to 2 * period inclusive."
)
def last_query_missing(pattern: Tensor, period: int) -> Tensor:
    return mean_attention(pattern, range(1 + period, 2 * period), lambda q: q - period + 1)


@induction_score.wrong("this is the sum over the queries: divide by their number, `period`.")
def sum_not_mean(pattern: Tensor, period: int) -> Tensor:
    return _score_oracle(pattern, period) * period


@induction_score.wrong(
    "one number came out for all heads: average over the queries only, and keep the leading axes."
)
def one_number_for_all(pattern: Tensor, period: int) -> Tensor:
    if pattern.ndim == 2:
        return _score_oracle(pattern, period)
    return _score_oracle(pattern, period).mean()


@induction_score.wrong("this is the largest attention of any query; the score is the mean.")
def largest(pattern: Tensor, period: int) -> Tensor:
    return pattern.diagonal(1 - period, -2, -1)[..., -period:].amax(-1)


@induction_score.wrong(
    "you counted how often the right place is the brightest. The score is the mean attention "
    "itself."
)
def share_of_brightest(pattern: Tensor, period: int) -> Tensor:
    target = torch.arange(2, 2 + period)
    return (pattern[..., 1 + period :, :].argmax(-1) == target).float().mean(-1)


slip(
    induction_score,
    "first_query_missing",
    "the first query of the second copy is left out: it already has an earlier copy to look "
    "after. Take all `period` queries.",
    ("[..., -period:]", "[..., 1 - period :]"),
)


slip(
    induction_score,
    "one_query_too_many",
    "the last query of the first copy is counted too. The second copy has `period` queries.",
    ("[..., -period:]", "[..., -period - 1 :]"),
)


slip(
    induction_score,
    "divided_by_one_less",
    "the sum was divided by period - 1. All `period` tokens of the second copy count.",
    (
        ".mean(-1)",
        ".sum(-1) / max(period - 1, 1)",
    ),
)


slip(
    induction_score,
    "from_the_middle_on",
    "the second half of the diagonal is not the second copy: it begins `period` from the end.",
    (
        "[..., -period:]",
        "[..., after_first_occurrence.shape[-1] // 2 :]",
    ),
)
