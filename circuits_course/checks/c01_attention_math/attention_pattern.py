"""Exercise `attention_pattern`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c01_attention_math.shared import triangle
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

attention_pattern = Exercise(
    "attention_pattern",
    difficulty=2,
    importance=5,
    minutes=5,
    hints=[
        "Two steps, of which you have already written one. Which has to come first, and why?",
        "Each query, a row, shares out one unit over the keys. The axis that sums to one is the "
        "axis of the softmax.",
        "causal_mask(scores), then .softmax(dim=-1).",
    ],
)


@attention_pattern.cases
def _pattern_cases() -> Iterator[Case]:
    weights = torch.tensor([[1.0, 4.0, 2.0], [3.0, 1.0, 4.0], [1.0, 2.0, 1.0]])
    scores = torch.stack([weights, weights.T]).log()[None]
    yield Case("two heads whose exponentials are 1 4 2, 3 1 4, 1 2 1, and the other way", scores)
    yield Case("three positions whose scores are all 0", torch.zeros(1, 1, 3, 3))
    yield Case("random scores", normal(2, 3, 5, 5))
    yield Case("as many heads as positions", normal(4, 4, 4, 4, seed=1) * 3)
    yield Case("very unequal scores", normal(3, 2, 6, 6, seed=2) * 40)
    far = normal(2, 3, 5, 5, seed=3) - 150.0 * torch.arange(5)[:, None]
    far = far + 400.0 * triangle(far, 1)
    yield Case("rows far apart, and a future that would take all", far)


@attention_pattern.oracle
def _pattern_oracle(scores: Tensor) -> Tensor:
    pattern = torch.zeros_like(scores)
    for i in range(scores.shape[-1]):
        pattern[..., i, : i + 1] = torch.softmax(scores[..., i, : i + 1], dim=-1)
    return pattern


def _masked(scores: Tensor) -> Tensor:
    return scores.masked_fill(triangle(scores, 1), -torch.inf)


@attention_pattern.wrong(
    "the softmax runs over the queries. Each query shares out one unit, so rows sum to 1: the "
    "softmax runs over the last axis, the keys."
)
def softmax_over_queries(scores: Tensor) -> Tensor:
    return _masked(scores).softmax(-2)


@attention_pattern.wrong(
    "you masked after the softmax. The future had already taken its share, so your rows sum to "
    "less than 1. Mask the scores first."
)
def masked_after_softmax(scores: Tensor) -> Tensor:
    return scores.softmax(-1).tril()


@attention_pattern.wrong(
    "there is no mask: the queries look at tokens that have not been read yet."
)
def unmasked(scores: Tensor) -> Tensor:
    return scores.softmax(-1)


@attention_pattern.wrong("these are logarithms: use softmax, not log_softmax.")
def log_pattern(scores: Tensor) -> Tensor:
    return _masked(scores).log_softmax(-1)


@attention_pattern.wrong(
    "the exponentials are not normalised: divide each row by its sum, or let softmax do both."
)
def not_normalised(scores: Tensor) -> Tensor:
    return _masked(scores).exp()


@attention_pattern.wrong(
    "the future has score 0 and so still gets attention: exp(0) is 1. Its scores have to be -inf."
)
def zero_scores_for_the_future(scores: Tensor) -> Tensor:
    return scores.tril().softmax(-1)


@attention_pattern.wrong(
    "each row is divided by the sum of its scores; the softmax takes exponentials first, so that "
    "negative scores count as little, not as less than nothing."
)
def shares_of_raw_scores(scores: Tensor) -> Tensor:
    kept = scores.tril()
    return kept / kept.sum(-1, keepdim=True)


@attention_pattern.wrong(
    "the scores are divided by another square root. They come scaled; twice is too much."
)
def scaled_twice(scores: Tensor) -> Tensor:
    return _masked(scores / scores.shape[-1] ** 0.5).softmax(-1)


@attention_pattern.wrong(
    "the softmax runs over a whole square of queries and keys together, which leaves each query a "
    "part of one unit. Every row needs its own: dim=-1."
)
def softmax_over_everything(scores: Tensor) -> Tensor:
    return _masked(scores).flatten(-2).softmax(-1).view_as(scores)


slip(
    attention_pattern,
    "softmax_over_heads",
    "the softmax runs over the heads. Each query shares out its unit over the keys, the last axis.",
    ("softmax(dim=-1)", "softmax(1)"),
)


slip(
    attention_pattern,
    "itself_masked",
    "the query itself is masked too; the first has then nothing to look at. The mask begins one "
    "after the diagonal.",
    (
        "causal_mask(scores)",
        "scores.masked_fill(torch.ones_like(scores[0, 0]).triu(0).bool(), -torch.inf)",
    ),
)


slip(
    attention_pattern,
    "all_to_the_best",
    "all attention goes to the best key. A softmax shares it out: the best gets most, the others "
    "some.",
    (
        "causal_mask(scores).softmax(dim=-1)",
        "torch.nn.functional.one_hot(causal_mask(scores).argmax(-1), scores.shape[-1]).float()",
    ),
)


slip(
    attention_pattern,
    "two_softmaxes",
    "there are two softmaxes; the second takes shares for scores and flattens them.",
    ("softmax(dim=-1)", "softmax(-1).softmax(-1)"),
)


slip(
    attention_pattern,
    "overflows",
    "exp of a large score is infinite, and infinity over infinity is NaN. `softmax` takes the "
    "largest score off first.",
    (
        "causal_mask(scores).softmax(dim=-1)",
        "causal_mask(scores).exp() / causal_mask(scores).exp().sum(-1, keepdim=True)",
    ),
)


@attention_pattern.wrong(
    "the diagonal is masked too, so nobody looks at itself, and the first row has nothing "
    "left. Go through causal_mask."
)
def itself_left_out(scores: Tensor) -> Tensor:
    square = torch.ones(scores.shape[-2:], dtype=torch.bool)
    return scores.masked_fill(square.triu(), -torch.inf).softmax(-1).nan_to_num()


@attention_pattern.wrong(
    "the softmax runs over the heads. Each head shares out its own attention over the keys, "
    "the last axis."
)
def heads_share_it_out(scores: Tensor) -> Tensor:
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(1).nan_to_num()


@attention_pattern.wrong(
    "the future got a low score, which still leaves it some attention. Only -inf leaves it none."
)
def low_scores_for_the_future(scores: Tensor) -> Tensor:
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -1.0).softmax(-1)


slip(
    attention_pattern,
    "shared_out_again",
    "the softmax came before the mask, and what the mask left was shared out again. Where a "
    "future key had all of it nothing is left: 0 / 0. Mask first.",
    (
        "return causal_mask(scores).softmax(dim=-1)",
        "past = scores.softmax(dim=-1).tril()\n    return past / past.sum(-1, keepdim=True)",
    ),
)
