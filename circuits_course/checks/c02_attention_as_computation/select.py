"""Exercise `select`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.behaviour import (
    HandBuiltRun,
    bos_where_none,
    earlier,
    mass,
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
    feature_values,
    single,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights, small_basis

select = Exercise(
    "select",
    difficulty=3,
    importance=5,
    minutes=12,
    tolerance=BEHAVIOUR,
    hints=[
        "Whom the head attends to does not depend on who asks. So the query can be the same at "
        "every position, and d_head 1 is enough.",
        "There are three kinds of keys: the feature is on, BOS, everything else. Put them on three "
        "steps, each a `sharpness` above the next. Which step is BOS on?",
        "W_Q reads `one`; W_K is 2 * gap * (the feature's direction) + gap * (BOS's token "
        "direction), as a column.",
    ],
)


@select.cases
def _select_cases() -> Iterator[Case]:
    yield Case("the small basis, feature 'vowel'", small_basis(), "vowel")
    yield Case("the small basis, feature 'digit'", small_basis(), "digit")
    yield Case("a rotated basis with other symbols, feature 'round'", other_basis(), "round")
    yield Case("another rotated basis, feature 'late'", other_basis(5), "late")


def _on_keys(basis: Basis, feature: str, tokens: Tensor) -> Tensor:
    on = feature_values(basis, feature, tokens) > 0
    return earlier(basis, on[:, None, :].expand(-1, tokens.shape[1], -1))


@select.prop
def _select_fits(head: Any, basis: Basis, feature: str) -> str | None:
    return unusable(basis, head)


@select.prop
def _select_looks(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    ran = run(basis, head)
    keys = _on_keys(basis, feature, ran.tokens)
    return misses(ran.patterns[0], keys, f"positions with {feature!r} on")


@select.prop
def _select_rests(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    ran = run(basis, head)
    rest = bos_where_none(_on_keys(basis, feature, ran.tokens))
    complaint = misses(ran.patterns[0], rest, "BOS")
    return complaint and f"where {feature!r} was on nowhere so far, {complaint}"


def _gathered(basis: Basis, ran: HandBuiltRun) -> Tensor:
    """The symbols that the head looks at, in the shares in which it does."""
    return ran.patterns[0] @ torch.eye(basis.d_vocab)[ran.tokens]


@select.prop
def _select_copies(head: HeadWeights, basis: Basis, feature: str) -> str | None:
    ran = run(basis, head)
    wanted = _gathered(basis, ran) * _on_keys(basis, feature, ran.tokens).any(-1)[..., None]
    return strays(basis, ran.writes[0], "out") or miswrites(
        basis, ran.tokens, ran.writes[0], wanted
    )


@select.observe
def _select_seen(head: HeadWeights, basis: Basis, feature: str) -> Tensor:
    ran = run(basis, head)
    pattern, write = ran.patterns[0], ran.writes[0]
    keys = _on_keys(basis, feature, ran.tokens)
    astray = (_gathered(basis, ran) - shares(basis, write)).abs().sum(-1) * keys.any(-1)
    return summary(basis, write[:, 1:], mass(pattern, keys), pattern[:, 1:, 0], astray)


def _feature_head(basis: Basis, on: float, bos: float, feature: str) -> HeadWeights:
    key = on * basis.direction(feature) + bos * basis.token[0]
    return HeadWeights(single(basis.direction("one")), single(key), basis.token.T, basis.out)


@select.wrong(
    "where the feature was on nowhere so far, all keys score alike and the attention spreads over "
    "all of them: a softmax cannot attend to nothing. Give BOS a score between the two."
)
def no_place_to_rest(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, GAP, 0.0, feature)


@select.wrong(
    "BOS scores as high as a key with the feature and takes an equal part. It has to lie a step "
    "below."
)
def bos_takes_part(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, GAP, GAP, feature)


@select.wrong("BOS scores higher than the feature: the head always rests.")
def always_rests(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, GAP, 2 * GAP, feature)


@select.wrong("the sign is turned: the head avoids the positions where the feature is on.")
def avoids(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, -2 * GAP, -GAP, feature)


@select.wrong(
    "query and key are exchanged: the query reads the feature and every key offers `one`. All keys "
    "then score alike. What is looked for has to stand in the key."
)
def feature_in_query(basis: Basis, feature: str) -> HeadWeights:
    head = _feature_head(basis, 2 * GAP, GAP, feature)
    return head._replace(W_Q=head.W_K, W_K=head.W_Q)


@select.wrong(
    "the query reads the feature too, so that only positions that have it themselves look for it. "
    "Who asks should not matter: let the query read `one`."
)
def query_needs_it_too(basis: Basis, feature: str) -> HeadWeights:
    value, one, bos = basis.direction(feature), basis.direction("one"), basis.token[0]
    W_Q = math.sqrt(2) * torch.stack([2 * GAP * value, GAP * one], dim=1)
    return HeadWeights(W_Q, torch.stack([value, bos], dim=1), basis.token.T, basis.out)


@select.wrong(
    "the steps are too small: the softmax still leaves part of the attention to keys that should "
    "have none. Multiply by what `sharpness` gives."
)
def steps_too_small(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, 2.0, 1.0, feature)


@select.wrong(
    "the head looks at the right places and reads the wrong thing there: the feature itself. W_V "
    "has to read `token`."
)
def reads_the_feature(basis: Basis, feature: str) -> HeadWeights:
    W_V, W_O = single(basis.direction(feature)), basis.out.sum(0, keepdim=True)
    return _feature_head(basis, 2 * GAP, GAP, feature)._replace(W_V=W_V, W_O=W_O)


@select.wrong("`feature` is not used: the head always selects by the same one.")
def fixed_feature(basis: Basis, feature: str) -> HeadWeights:
    return _feature_head(basis, 2 * GAP, GAP, list(basis.features)[-1])


slip(
    select,
    "asked_by_the_feature",
    "the query has the feature and the key does not: only positions where it is on ask at all. "
    "What is looked for belongs in W_K; the query asks always, `one`.",
    ('W_Q = basis.direction("one")[:, None]', "W_Q = basis.direction(feature)[:, None]"),
    ("2 * gap * basis.direction(feature)", '2 * gap * basis.direction("one")'),
)


slip(
    select,
    "feature_asks",
    "the query reads the feature, so that only positions that have it look for it. Every "
    "position should ask: let the query read `one`.",
    ('basis.direction("one")', "basis.direction(feature)"),
)


slip(
    select,
    "bos_step_too_low",
    "BOS lies hardly above the rest. Where the feature is on nowhere it should get all: a "
    "full `sharpness` above the others.",
    ("+ gap * basis.token[0]", "+ 0.1 * gap * basis.token[0]"),
)


slip(
    select,
    "looks_at_itself",
    "the head looks at the position itself, whatever stands there. Whom it looks at should "
    "depend on the key's feature: W_K reads the feature.",
    (
        "gap = sharpness(basis.n_ctx, 0.99)",
        "return route(basis, 0)\n    gap = sharpness(basis.n_ctx, 0.99)",
    ),
)
