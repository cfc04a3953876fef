"""Exercise `diagonal_scores`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import looks_back, random_pattern
from circuits_course.checks.slips import slip

diagonal_scores = Exercise(
    "diagonal_scores",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "For offset 1, write down the cells [query, key] that count in a 4 x 4 pattern: [1, 0], "
        "[2, 1], [3, 2]. What line do they form, and how many are there for offset 2?",
        "Each offset is one diagonal below the main one. A tensor's `diagonal(offset, dim1, dim2)` "
        "reads one; negative offsets lie below. The patterns' axes are the last two.",
        "pattern.diagonal(-offset, -2, -1) has the shape [*heads, pos - offset]. Average over its "
        "last axis, collect the offsets 0 to max_offset, and stack them on a new last axis.",
    ],
)


@diagonal_scores.cases
def _diagonal_cases() -> Iterator[Case]:
    yield Case("a head that looks at the token before, asked for offsets 0 to 2",
               looks_back(1, 5)[None], 2)  # fmt: skip
    yield Case("a head that looks two tokens back, at BOS where there are none",
               looks_back(2, 6)[None], 3)  # fmt: skip
    yield Case("random patterns of a batch", random_pattern(2, 3, 7, 7, seed=1), 4)
    yield Case("random patterns, every offset there is", random_pattern(4, 5, 5, seed=2), 4)
    yield Case("random patterns of 11 tokens", random_pattern(2, 11, 11, seed=4), 9)
    yield Case("random patterns, the current token only", random_pattern(3, 6, 6, seed=3), 0)


@diagonal_scores.oracle
def _diagonal_oracle(pattern: Tensor, max_offset: int) -> Tensor:
    pos = pattern.shape[-1]
    return torch.stack(
        [
            torch.stack([pattern[..., q, q - o] for q in range(o, pos)]).mean(0)
            for o in range(max_offset + 1)
        ],
        dim=-1,
    )


def _diagonals(pattern: Tensor, offsets: Any) -> Tensor:
    return torch.stack([pattern.diagonal(-o, -2, -1).mean(-1) for o in offsets], dim=-1)


@diagonal_scores.wrong(
    "you went to the right of the main diagonal, where keys lie in the future of their queries and "
    "nobody may look. The key o places back is q - o: a diagonal below the main one."
)
def future_diagonals(pattern: Tensor, max_offset: int) -> Tensor:
    return _diagonals(pattern.mT, range(max_offset + 1))


@diagonal_scores.wrong(
    "offset 0, the current token itself, is missing: your first entry is offset 1, so every entry "
    "is one too far back."
)
def starts_at_one(pattern: Tensor, max_offset: int) -> Tensor:
    padded = torch.nn.functional.pad(pattern, (0, 1, 0, 1))
    sums = [padded.diagonal(-o, -2, -1)[..., :-1].sum(-1) for o in range(1, max_offset + 2)]
    counts = [max(pattern.shape[-1] - o, 1) for o in range(1, max_offset + 2)]
    return torch.stack([s / n for s, n in zip(sums, counts, strict=True)], dim=-1)


@diagonal_scores.wrong(
    "the last offset is missing: the answer holds offsets 0 to max_offset, which are max_offset "
    "+ 1 "
    "numbers; range(n) stops before n."
)
def stops_before_last(pattern: Tensor, max_offset: int) -> Tensor:
    if max_offset == 0:
        return pattern.new_zeros(*pattern.shape[:-2], 0)
    return _diagonals(pattern, range(max_offset))


@diagonal_scores.wrong(
    "you divided by the number of all queries. The first o queries have no token o places back: "
    "the "
    "diagonal is shorter, and its mean is over pos - o cells."
)
def divided_by_all(pattern: Tensor, max_offset: int) -> Tensor:
    scores = [pattern.diagonal(-o, -2, -1).sum(-1) for o in range(max_offset + 1)]
    return torch.stack(scores, dim=-1) / pattern.shape[-1]


@diagonal_scores.wrong("you summed along the diagonals: a score is a mean, and at most 1.")
def diagonals_summed(pattern: Tensor, max_offset: int) -> Tensor:
    scores = [pattern.diagonal(-o, -2, -1).sum(-1) for o in range(max_offset + 1)]
    return torch.stack(scores, dim=-1)


@diagonal_scores.wrong("the offsets stand on the first axis; the answer has them on the last.")
def offsets_first(pattern: Tensor, max_offset: int) -> Tensor:
    return torch.stack([pattern.diagonal(-o, -2, -1).mean(-1) for o in range(max_offset + 1)])


@diagonal_scores.wrong(
    "you left BOS out. That is a good idea, and the next exercise does it, by cutting the pattern "
    "before it calls this function. Here every position counts, so that the score means the same "
    "for any pattern."
)
def bos_left_out(pattern: Tensor, max_offset: int) -> Tensor:
    cut = torch.nn.functional.pad(pattern[..., 1:, 1:], (0, 1, 0, 1))
    sums = [cut.diagonal(-o, -2, -1).sum(-1) for o in range(max_offset + 1)]
    counts = [max(pattern.shape[-1] - 1 - o, 1) for o in range(max_offset + 1)]
    return torch.stack([s / n for s, n in zip(sums, counts, strict=True)], dim=-1)


@diagonal_scores.wrong(
    "you averaged every offset over the same queries, max_offset and on. For offset o all queries "
    "q >= o have a token that far back: use them."
)
def late_queries_only(pattern: Tensor, max_offset: int) -> Tensor:
    late = [
        pattern.diagonal(-o, -2, -1)[..., max_offset - o :].mean(-1) for o in range(max_offset + 1)
    ]
    return torch.stack(late, dim=-1)


slip(
    diagonal_scores,
    "largest_of_the_diagonal",
    "this is the largest attention on the diagonal, which one lucky query can give: take the mean.",
    (".mean(-1)", ".amax(-1)"),
)
