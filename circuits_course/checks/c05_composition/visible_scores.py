"""Exercise `visible_scores`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

visible_scores = Exercise(
    "visible_scores",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Add 5 to all scores of one query. What happens to its softmax? So what about a row can "
        "the softmax not see?",
        "Query q may see the keys 0 to q. The mean of row q runs over those q + 1 entries, not "
        "over the whole row.",
        "past = torch.ones_like(scores).tril(); mean = (scores * past).sum(-1, keepdim=True) / "
        "past.sum(-1, keepdim=True).",
    ],
)


@visible_scores.cases
def _visible_cases() -> Iterator[Case]:
    flat = torch.tensor([[9.0, 7.0, 7.0], [4.0, 4.0, 8.0], [1.0, 1.0, 4.0]])
    yield Case("scores that prefer no key, except the last query's", flat)
    for seed, shape in enumerate([(5, 5), (3, 4, 4), (2, 3, 6, 6)]):
        yield Case("random scores", normal(*shape, seed=seed))


@visible_scores.oracle
def _visible_oracle(scores: Tensor) -> Tensor:
    out = torch.zeros_like(scores)
    for q in range(scores.shape[-1]):
        row = scores[..., q, : q + 1]
        out[..., q, : q + 1] = row - row.mean(-1, keepdim=True)
    return out


@visible_scores.wrong(
    "the mean runs over the whole row. Query q sees keys 0 to q only; scores of the future are "
    "masked and must not count."
)
def mean_over_the_future_too(scores: Tensor) -> Tensor:
    return (scores - scores.mean(-1, keepdim=True)).tril()


@visible_scores.wrong(
    "the future was set to zero and then counted: divide the sum of row q by the number of its "
    "visible keys, q + 1, not by the length of the row."
)
def future_counted_as_zero(scores: Tensor) -> Tensor:
    return (scores - scores.tril().mean(-1, keepdim=True)).tril()


@visible_scores.wrong(
    "you took means over queries (columns). The softmax compares the keys of one query: the mean "
    "is one number a row."
)
def mean_over_queries(scores: Tensor) -> Tensor:
    count = torch.ones_like(scores).tril().sum(-2, keepdim=True)
    return (scores - scores.tril().sum(-2, keepdim=True) / count).tril()


@visible_scores.wrong(
    "one mean for the whole matrix is not enough: every query has a softmax of its own, so every "
    "row has its own mean."
)
def one_mean_for_all(scores: Tensor) -> Tensor:
    count = torch.ones_like(scores).tril().sum((-2, -1), keepdim=True)
    return (scores - scores.tril().sum((-2, -1), keepdim=True) / count).tril()


@visible_scores.wrong("the entries in the future are still there: set them to 0, they are masked.")
def future_kept(scores: Tensor) -> Tensor:
    past = torch.ones_like(scores).tril()
    return scores - (scores * past).sum(-1, keepdim=True) / past.sum(-1, keepdim=True)


@visible_scores.wrong(
    "that is the pattern, after the softmax. Asked is what of the scores the softmax can see."
)
def pattern_instead(scores: Tensor) -> Tensor:
    future = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@visible_scores.wrong(
    "you took away the largest score of each row (as a softmax does for safety). Then a row "
    "without preference is zero, but so is the favourite key of every other row; take the mean."
)
def maximum_instead(scores: Tensor) -> Tensor:
    future = torch.ones_like(scores).triu(1).bool()
    return (scores - scores.masked_fill(future, -torch.inf).amax(-1, keepdim=True)).tril()


slip(
    visible_scores,
    "own_key_left_out",
    "the query's own position is left out. A query sees itself too: keys k <= q.",
    ("torch.ones_like(scores).tril()", "torch.ones_like(scores).tril(-1)"),
    ("past.sum(-1, keepdim=True)", "past.sum(-1, keepdim=True).clamp(min=1)"),
)


@visible_scores.wrong(
    "each row is divided by its spread as well. The softmax sees how large the differences "
    "are: take off the mean alone."
)
def divided_by_the_spread(scores: Tensor) -> Tensor:
    seen = _visible_oracle(scores)
    keys = torch.arange(1, scores.shape[-1] + 1)[:, None]
    return seen / (seen.square().sum(-1, keepdim=True) / keys).sqrt().clamp(min=1e-6)


slip(
    visible_scores,
    "first_key_taken_off",
    "the first key's score is taken off. What the softmax does not see is shared by all keys"
    " of the row: take off their mean.",
    ("return (scores - mean) * past", "return (scores - scores[..., :1]) * past"),
)


slip(
    visible_scores,
    "own_key_taken_off",
    "the score of the query's own position is taken off. What the softmax does not see is "
    "shared by all keys of the row: take off their mean.",
    (
        "return (scores - mean) * past",
        "return (scores - scores.diagonal(0, -2, -1)[..., None]) * past",
    ),
)


slip(
    visible_scores,
    "sum_taken_off",
    "the sum of the row is taken off: divide it by the number of keys first.",
    (" / past.sum(-1, keepdim=True)", ""),
)
