"""Exercise `duplicate`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.behaviour import (
    bases,
    bos_where_none,
    earlier,
    mass,
    misses,
    run,
    strays,
    summary,
    unusable,
)
from circuits_course.checks.c02_attention_as_computation.shared import (
    BEHAVIOUR,
    GAP,
    position_head,
    single,
    written_result,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights, small_basis

duplicate = Exercise(
    "duplicate",
    difficulty=4,
    importance=4,
    minutes=15,
    tolerance=BEHAVIOUR,
    hints=[
        "Scores add up over the dimensions of the head. Use one block of dimensions for each "
        "reason to look or not to look: the same symbol, the same position, BOS. torch.cat joins "
        "blocks.",
        "basis.token.T in both W_Q and W_K scores every copy of the symbol, the query's own "
        "position too. basis.position.T in both scores the own position alone: make that negative "
        "enough to undo the match.",
        "Scores: an earlier copy 2 * gap, the own position 2 * gap - 2 * gap = 0, BOS gap, the "
        "rest 0. Then W_V: something that is 1 on every symbol and 0 on BOS, written to `result`.",
    ],
)


@duplicate.cases
def _duplicate_cases() -> Iterator[Case]:
    for name, basis in [*bases(), ("another rotated basis", small_basis(3))]:
        yield Case(name, basis)


def _copies(basis: Basis, tokens: Tensor) -> Tensor:
    same = earlier(basis, tokens[:, :, None] == tokens[:, None, :])
    return same & ~torch.eye(tokens.shape[1], dtype=torch.bool)


@duplicate.prop
def _duplicate_fits(head: Any, basis: Basis) -> str | None:
    return unusable(basis, head)


@duplicate.prop
def _duplicate_looks(head: HeadWeights, basis: Basis) -> str | None:
    ran = run(basis, head)
    return misses(ran.patterns[0], _copies(basis, ran.tokens), "earlier copies of the symbol")


@duplicate.prop
def _duplicate_rests(head: HeadWeights, basis: Basis) -> str | None:
    ran = run(basis, head)
    complaint = misses(ran.patterns[0], bos_where_none(_copies(basis, ran.tokens)), "BOS")
    return complaint and f"where the symbol is new, {complaint}"


@duplicate.prop
def _duplicate_writes(head: HeadWeights, basis: Basis) -> str | None:
    ran = run(basis, head)
    found = _copies(basis, ran.tokens).any(-1)[:, 1:]
    result = written_result(head, basis)
    off = (result - found.float()).abs() > 0.1
    if not off.any():
        return strays(basis, ran.writes[0][:, 1:], "result")
    new, seen = result[~found].mean(), result[found].mean()
    return (
        f"'result' is {seen:.2f} on average where the symbol stood before (expected 1) and "
        f"{new:.2f} where it is new (expected 0)"
    )


@duplicate.observe
def _duplicate_seen(head: HeadWeights, basis: Basis) -> Tensor:
    ran = run(basis, head)
    pattern, write = ran.patterns[0], ran.writes[0][:, 1:]
    itself = pattern.diagonal(dim1=-2, dim2=-1)[:, 1:]
    found = mass(pattern, _copies(basis, ran.tokens))
    return summary(basis, write, found, itself, pattern[:, 1:, 0], written_result(head, basis))


def _duplicate_head(
    basis: Basis, match: float = 2.0, itself: float = -2.0, bos: float = 1.0, scale: float = 1.0
) -> HeadWeights:
    one, at_bos = single(basis.direction("one")), single(basis.token[0])
    W_Q = torch.cat([match * basis.token.T, itself * basis.position.T, bos * one], dim=1)
    W_K = torch.cat([basis.token.T, basis.position.T, at_bos], dim=1)
    sharp = scale * GAP * math.sqrt(W_Q.shape[1])
    return HeadWeights(sharp * W_Q, W_K, one - at_bos, basis.direction("result")[None])


@duplicate.wrong(
    "the head finds itself: the query's own position holds the same symbol. A second block of "
    "dimensions has to take that match back, by position."
)
def finds_itself(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, itself=0.0)


@duplicate.wrong(
    "a new symbol has no earlier copy, and its attention spreads over everything. Give BOS a score "
    "between a match and no match."
)
def nowhere_to_rest(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, bos=0.0)


@duplicate.wrong("BOS scores as high as a copy and takes part of the attention from it.")
def bos_as_good_as_a_copy(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, bos=2.0)


@duplicate.wrong(
    "the own position is taken back only in part: its score, match minus penalty, is still as high "
    "as BOS's. Make the penalty as large as the match."
)
def penalty_too_small(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis, itself=-1.0)


@duplicate.wrong(
    "the head looks right but reads BOS as 1 too, so that `result` is 1 everywhere. W_V must be 0 "
    "on BOS: `one` minus BOS's token direction."
)
def bos_counts_as_found(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(W_V=single(basis.direction("one")))


@duplicate.wrong(
    "the head is too soft: the scale leaves out sqrt(d_head), and d_head is the width of all "
    "blocks together."
)
def duplicate_too_soft(basis: Basis) -> HeadWeights:
    width = 1 + basis.d_vocab + basis.n_ctx
    gap = math.log(99 * (basis.n_ctx - 1))
    return _duplicate_head(basis, scale=gap / GAP / math.sqrt(width))


@duplicate.wrong("the head copies the symbol into `out`; asked for is a 1 in `result`.")
def copies_the_symbol(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(W_V=basis.token.T, W_O=basis.out)


@duplicate.wrong(
    "`result` is turned: it is 1 where the symbol is new. BOS, where a head without a match rests, "
    "has to give 0, the symbols 1."
)
def turned_round(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(W_V=single(basis.token[0]))


@duplicate.wrong("the head looks one back, whatever stands there: nothing compares symbols.")
def looks_one_back(basis: Basis) -> HeadWeights:
    return _duplicate_head(basis)._replace(
        W_Q=position_head(basis, 1).W_Q, W_K=position_head(basis, 1).W_K
    )


slip(
    duplicate,
    "rest_scores_highest",
    "BOS scores higher than a copy, so the head always rests. It has to lie between the two.",
    (
        "gap * one",
        "3 * gap * one",
    ),
)


slip(
    duplicate,
    "own_place_taken_off_too_little",
    "the query's own position is hardly lowered: it has the symbol, and wins over BOS. Take off "
    "as much as a match gives.",
    (
        "-2 * gap * same_place",
        "-0.5 * gap * same_place",
    ),
)


slip(
    duplicate,
    "minus_one_where_new",
    "`result` is 0 where the symbol stood before and -1 where it is new. Let values be 1 "
    "everywhere but at BOS: `one` minus BOS.",
    (
        "W_V = one - bos",
        "W_V = -bos",
    ),
)
