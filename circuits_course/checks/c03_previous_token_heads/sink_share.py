"""Exercise `sink_share`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import looks_back, random_pattern
from circuits_course.checks.slips import slip

sink_share = Exercise(
    "sink_share",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "Draw a 4 x 4 pattern on paper and shade the cells that say how much the others look at "
        "the first token. Rows are queries, columns are keys.",
        "They are one column without its topmost cell: keys 0, queries 1 and on. Average them and "
        "keep all axes in front.",
        "pattern[..., 1:, 0] has the shape [*heads, queries without the first]; mean over its last "
        "axis.",
    ],
)


@sink_share.cases
def _sink_cases() -> Iterator[Case]:
    yield Case("a head that looks at BOS and nowhere else, 4 tokens", looks_back(4, 4)[None])
    yield Case("a head in which every token looks only at itself", looks_back(0, 4)[None])
    yield Case("two heads, of which the second looks at the token before",
               torch.stack([looks_back(5, 5), looks_back(1, 5)]))  # fmt: skip
    yield Case("random patterns of a batch", random_pattern(2, 3, 7, 7, seed=1))
    yield Case("random patterns without a batch", random_pattern(5, 6, 6, seed=2))


@sink_share.oracle
def _sink_oracle(pattern: Tensor) -> Tensor:
    total = sum(pattern[..., q, 0] for q in range(1, pattern.shape[-2]))
    return torch.as_tensor(total) / (pattern.shape[-2] - 1)


@sink_share.wrong(
    "you counted the first query too. BOS can look at nothing but itself, which makes every head "
    "look a little like a sink. Queries start at 1."
)
def first_query_counted(pattern: Tensor) -> Tensor:
    return pattern[..., 0].mean(-1)


@sink_share.wrong(
    "you read the first row: where BOS looks. How much the others look at BOS is the first column: "
    "pattern[q, k], rows are the ones who look."
)
def first_row_read(pattern: Tensor) -> Tensor:
    return pattern[..., 0, 1:].mean(-1)


@sink_share.wrong("you averaged over the heads as well: keep the leading axes.")
def one_number_for_all(pattern: Tensor) -> Tensor:
    return pattern[..., 1:, 0].mean()


@sink_share.wrong("you summed over the queries: a share is their mean, and at most 1.")
def queries_summed(pattern: Tensor) -> Tensor:
    return pattern[..., 1:, 0].sum(-1)


@sink_share.wrong(
    "you looked at the last query alone. Average over all queries that have a choice, 1 and on."
)
def last_query_only(pattern: Tensor) -> Tensor:
    return pattern[..., -1, 0]


@sink_share.wrong(
    "you counted how many queries look mostly at BOS. The share is the attention itself, averaged, "
    "without a vote in between."
)
def counts_votes(pattern: Tensor) -> Tensor:
    return (pattern[..., 1:, :].argmax(-1) == 0).float().mean(-1)


slip(
    sink_share,
    "divided_by_one_more",
    "you summed over the queries but the first and divided by all of them. Divide by as many as "
    "you summed: .mean(-1).",
    (".mean(-1)", ".sum(-1) / pattern.shape[-1]"),
)


slip(
    sink_share,
    "last_column",
    "this is attention to the last token. The first token is column 0.",
    ("[..., 1:, 0]", "[..., 1:, -1]"),
)


slip(
    sink_share,
    "largest_share",
    "the largest share was taken. Asked for is the mean over the queries.",
    (
        "pattern[..., 1:, 0].mean(-1)",
        "pattern[..., 1:, 0].amax(-1)",
    ),
)


slip(
    sink_share,
    "median_share",
    "that is the median. Asked for is the mean over the queries.",
    (
        "pattern[..., 1:, 0].mean(-1)",
        "pattern[..., 1:, 0].median(-1).values",
    ),
)


slip(
    sink_share,
    "last_query_left_out",
    "the last query is left out as well. All but the first count: 1:.",
    (
        "pattern[..., 1:, 0]",
        "pattern[..., 1:-1, 0]",
    ),
)
