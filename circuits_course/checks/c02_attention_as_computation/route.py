"""Exercise `route`."""

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
    misses,
    miswrites,
    other_basis,
    run,
    shares,
    strays,
    summary,
    unusable,
)
from circuits_course.checks.c02_attention_as_computation.shared import (
    BEHAVIOUR,
    GAP,
    position_head,
    single,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights, small_basis

route = Exercise(
    "route",
    difficulty=2,
    importance=5,
    minutes=12,
    tolerance=BEHAVIOUR,
    hints=[
        "Each of the d_head dimensions stands for one position that can be looked at. A key at "
        "position k lights up dimension k. Which dimension must a query at position q light up?",
        "The query wants the key at q - offset, so it lights up dimension q - offset. Column d of "
        "W_Q is the direction that lights up dimension d.",
        "W_Q[:, q - offset] = basis.position[q]",
    ],
)


@route.cases
def _route_cases() -> Iterator[Case]:
    for name, basis in bases():
        for offset in (2, 1):
            yield Case(f"{name}, offset {offset}", basis, offset)
    yield Case("the small basis, offset 0", small_basis(), 0)
    yield Case("a rotated basis with other symbols, offset 5", other_basis(4), 5)


def _offset_keys(basis: Basis, offset: int) -> Tensor:
    """Where each query should look: [1, q, k]."""
    keys = torch.zeros(1, basis.n_ctx, basis.n_ctx, dtype=torch.bool)
    for q in range(offset, basis.n_ctx):
        keys[0, q, q - offset] = True
    return keys


def _copied(basis: Basis, tokens: Tensor, offset: int) -> Tensor:
    """The symbol `offset` back as shares along `out`; rows of 0 where that is BOS or nothing."""
    wanted = torch.zeros(*tokens.shape, basis.d_vocab)
    for b, row in enumerate(tokens.tolist()):
        for q in range(offset + 1, len(row)):
            wanted[b, q, row[q - offset]] = 1.0
    return wanted


@route.prop
def _route_fits(head: Any, basis: Basis, offset: int) -> str | None:
    return unusable(basis, head)


@route.prop
def _route_looks(head: HeadWeights, basis: Basis, offset: int) -> str | None:
    ran = run(basis, head)
    keys = _offset_keys(basis, offset).expand_as(ran.patterns[0])
    return misses(ran.patterns[0], keys, f"the position {offset} back")


@route.prop
def _route_copies(head: HeadWeights, basis: Basis, offset: int) -> str | None:
    ran = run(basis, head)
    write = ran.writes[0]
    return strays(basis, write[:, offset + 1 :], "out") or miswrites(
        basis, ran.tokens, write, _copied(basis, ran.tokens, offset)
    )


@route.observe
def _route_seen(head: HeadWeights, basis: Basis, offset: int) -> Tensor:
    ran = run(basis, head)
    graded = _copied(basis, ran.tokens, offset).sum(-1, keepdim=True)
    looked = ran.patterns[0] * (torch.arange(basis.n_ctx) >= offset)[:, None]
    written = shares(basis, ran.writes[0]) * graded
    return summary(basis, ran.writes[0][:, offset + 1 :], looked, written)


@route.wrong(
    "the offset is counted from the wrong side. The query wants the key at q - offset; at q + "
    "offset lies the future, which the mask hides, so that all visible keys score 0 alike. (The "
    "same happens with W_Q and W_K exchanged.)"
)
def wrong_side(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, -offset)


@route.wrong("one position too far: the key is at q - offset, position 0 being BOS.")
def one_too_far(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, offset + 1)


@route.wrong("one position short: the key is at q - offset.")
def one_short(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, max(offset - 1, 0))


@route.wrong(
    "query and key light up the same dimension for the same position, so that everybody looks at "
    "themselves. Shift one of the two by `offset`."
)
def no_shift(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, 0)


@route.wrong("`offset` is not used: the head always looks one back.")
def always_one(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, 1)


@route.wrong(
    "the right key has the best score, but the softmax stays soft. Scale W_Q up: by the score that "
    "`sharpness` gives, and by sqrt(d_head), which attention divides by."
)
def too_soft(basis: Basis, offset: int) -> HeadWeights:
    head = position_head(basis, offset)
    return head._replace(W_Q=head.W_Q / head.W_Q.max() / basis.position.abs().max())


@route.wrong(
    "the scale leaves out sqrt(d_head). Attention divides every score by it, so W_Q needs it on "
    "top of what `sharpness` gives."
)
def square_root_forgotten(basis: Basis, offset: int) -> HeadWeights:
    gap = math.log(99 * (basis.n_ctx - 1))
    return position_head(basis, offset, gap / GAP / math.sqrt(basis.n_ctx))


@route.wrong(
    "every query looks at the fixed position number `offset`. How far back is relative: the key "
    "depends on q."
)
def fixed_place(basis: Basis, offset: int) -> HeadWeights:
    W_K = single(GAP * basis.position[offset])
    return HeadWeights(single(basis.direction("one")), W_K, basis.token.T, basis.out)


@route.wrong(
    "the copy goes back into `token`, on top of the symbol that stands there. Write it along "
    "`out`: row t of W_O is where symbol t is written."
)
def writes_into_token(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, offset)._replace(W_O=basis.token)


@route.wrong(
    "the sign of W_V or W_O is turned: the head pushes the right symbol down instead of up."
)
def pushes_down(basis: Basis, offset: int) -> HeadWeights:
    return position_head(basis, offset)._replace(W_O=-basis.out)


@route.wrong(
    "the values read positions, and there are none: positions are added to the input of queries "
    "and keys only. W_V has to read `token`."
)
def values_read_positions(basis: Basis, offset: int) -> HeadWeights:
    W_O = basis.out[torch.arange(basis.n_ctx) % basis.d_vocab]
    return position_head(basis, offset)._replace(W_V=basis.position.T, W_O=W_O)


@route.wrong(
    "you took the directions for coordinates. That works only where the basis happens to lie along "
    "them; build the weights from basis.position, basis.token and basis.out."
)
def coordinates(basis: Basis, offset: int) -> HeadWeights:
    plain = Basis(basis.vocabulary, basis.n_ctx, basis.features)
    return position_head(plain, offset)


slip(
    route,
    "looks_ahead",
    "the dimension of key q + offset was lit: that lies ahead. What stands `offset` back is key "
    "q - offset.",
    ("W_Q[:, q - offset]", "W_Q[:, min(q + offset, d_head - 1)]"),
)


slip(
    route,
    "into_previous",
    "the symbol is written along `previous`. Asked for is `out`.",
    ("W_O=basis.out", "W_O=basis.previous"),
)


slip(
    route,
    "coordinates_for_directions",
    "positions are taken for coordinates of the residual stream: row q of W_Q. Position q is"
    " the direction basis.position[q], wherever that lies.",
    ("W_Q[:, q - offset] = basis.position[q]", "W_Q[q, q - offset] = 1.0"),
)


slip(
    route,
    "last_query_missing",
    "the last position asks for nothing: the loop ends one too early. Queries run from "
    "offset to n_ctx - 1.",
    ("range(offset, basis.n_ctx)", "range(offset, basis.n_ctx - 1)"),
)


slip(
    route,
    "target_avoided",
    "the sign is turned: the query asks for anything but that position. Both scales are positive.",
    ("scale * W_Q", "-scale * W_Q"),
)


slip(
    route,
    "first_query_left_out",
    "the first position that has something so far back, `offset` itself, is left out of the loop.",
    (
        "range(offset, basis.n_ctx)",
        "range(offset + 1, basis.n_ctx)",
    ),
)
