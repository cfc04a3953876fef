"""Exercise `induction_circuit`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.behaviour import (
    ENOUGH,
    HandBuiltRun,
    bases,
    bos_where_none,
    earlier,
    misses,
    percent,
    run,
    sequences,
    summary,
    unusable,
)
from circuits_course.checks.c02_attention_as_computation.shared import (
    BEHAVIOUR,
    GAP,
    position_head,
    single,
    writes_previous,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights, kind, small_basis

induction_circuit = Exercise(
    "induction_circuit",
    difficulty=4,
    importance=5,
    minutes=20,
    tolerance=BEHAVIOUR,
    hints=[
        "In BOS a b c a the last a wants to find b, because a stands before b. A key only shows "
        "what its own position holds. So what must be written at b before layer 1 looks?",
        "Layer 0: look one back and write the symbol found there along basis.previous. Layer 1: "
        "the query reads `token`, the key reads `previous`, the value reads `token`, and the write "
        "goes to `out`.",
        "For the rest on BOS add one dimension, as in `select` and `duplicate`: the query reads "
        "`one`, the key BOS's token direction, at half the score of a match. For the confidence, "
        "scale W_O: the output is a softmax over d_vocab symbols, so `sharpness` helps once more.",
    ],
)


@induction_circuit.cases
def _induction_cases() -> Iterator[Case]:
    for name, basis in [*bases(), ("another rotated basis", small_basis(3))]:
        yield Case(name, basis)


def _repeats(basis: Basis, batch: int = 8) -> Tensor:
    """Half random symbols, half two copies of symbols that all differ."""
    generator = torch.Generator().manual_seed(7)
    period = min(basis.d_vocab - 1, (basis.n_ctx - 1) // 2)
    order = torch.rand(batch, basis.d_vocab - 1, generator=generator).argsort(-1)[:, :period] + 1
    bos = torch.zeros(batch, 1, dtype=torch.int64)
    twice = torch.cat([bos, order, order, order], dim=1)[:, : basis.n_ctx]
    return torch.cat([twice, sequences(basis, seed=1, batch=batch)])


def _followers(basis: Basis, tokens: Tensor) -> Tensor:
    """Keys that stand right after an earlier copy of the query's symbol."""
    before = torch.zeros_like(tokens)
    before[:, 1:] = tokens[:, :-1]
    return earlier(basis, tokens[:, :, None] == before[:, None, :])


def _pair(basis: Basis, heads: Any) -> HandBuiltRun:
    return run(basis, *heads, draw=_repeats)


@induction_circuit.prop
def _pair_fits(heads: Any, basis: Basis) -> str | None:
    if not isinstance(heads, list | tuple) or len(heads) != 2 or isinstance(heads, HeadWeights):
        got = "one HeadWeights" if isinstance(heads, HeadWeights) else kind(heads)
        return f"expected a pair of HeadWeights, for layers 0 and 1; got {got}"
    first = unusable(basis, heads[0], "first head: ")
    return first or unusable(basis, heads[1], "second head: ")


@induction_circuit.prop
def _pair_matches(heads: Any, basis: Basis) -> str | None:
    ran = _pair(basis, heads)
    keys = _followers(basis, ran.tokens)
    complaint = misses(
        ran.patterns[1], keys, "the position that follows an earlier copy of its symbol"
    )
    return complaint and f"in layer 1, {complaint}"


@induction_circuit.prop
def _pair_rests(heads: Any, basis: Basis) -> str | None:
    ran = _pair(basis, heads)
    complaint = misses(ran.patterns[1], bos_where_none(_followers(basis, ran.tokens)), "BOS")
    return complaint and f"in layer 1, where the symbol is new, {complaint}"


@induction_circuit.prop
def _pair_predicts(heads: Any, basis: Basis) -> str | None:
    ran = _pair(basis, heads)
    right, top = _predictions(basis, ran)
    likeliest = right == ran.logits.softmax(-1).amax(-1)
    named = right[right.isfinite()]
    if (named < ENOUGH).any():
        return (
            "where the symbol stood once before, the model gives the symbol that followed a "
            f"probability of {named.mean():.2f} on average, {named.min():.2f} at worst; "
            f"expected at least {ENOUGH}. It is the most likely one at "
            f"{percent(likeliest[right.isfinite()])} of these places"
        )
    if (top > 0.3).any():
        return (
            f"where the symbol is new the model should not commit itself; it gives some symbol a "
            f"probability of {top.max():.2f}"
        )
    return None


def _predictions(basis: Basis, ran: HandBuiltRun) -> tuple[Tensor, Tensor]:
    """Probability of what followed the one earlier copy (nan: none, or several); and the largest
    probability wherever the symbol is new (0 elsewhere)."""
    keys = _followers(basis, ran.tokens)
    probabilities = ran.logits.softmax(-1)
    followed = ran.tokens[:, None, :].expand_as(keys)
    target = torch.where(keys, followed, 0).sum(-1) * (keys.sum(-1) == 1)
    right = probabilities.gather(-1, target[..., None])[..., 0]
    new = ~keys.any(-1)
    return torch.where(target > 0, right, torch.nan), probabilities.amax(-1) * new


@induction_circuit.observe
def _pair_seen(heads: Any, basis: Basis) -> Tensor:
    """Where the heads look; and what is predicted, if layer 1 looks where it should."""
    ran = _pair(basis, heads)
    astray = _pair_matches(heads, basis) or _pair_rests(heads, basis)
    says = torch.zeros_like(ran.logits) if astray else ran.logits.softmax(-1)
    return summary(basis, ran.writes[0], *ran.patterns, says)


def _second(
    basis: Basis, query: str = "token", key: str = "previous", bos: float = 1.0, scale: float = 1.0
) -> HeadWeights:
    one, at_bos = single(basis.direction("one")), single(basis.token[0])
    W_Q = torch.cat([2 * basis.group(query).T, bos * one], dim=1)
    W_K = torch.cat([basis.group(key).T, at_bos], dim=1)
    sharp = scale * GAP * math.sqrt(W_Q.shape[1])
    return HeadWeights(sharp * W_Q, W_K, basis.token.T, 10 * basis.out)


Pair = tuple[HeadWeights, HeadWeights]


@induction_circuit.wrong(
    "layer 1 matches symbol with symbol and finds the earlier copy (and itself) instead of what "
    "came after it. Its keys have to read what layer 0 has written: `previous`."
)
def finds_the_copy(basis: Basis) -> Pair:
    return writes_previous(basis), _second(basis, key="token")


@induction_circuit.wrong(
    "nothing is written along `previous`, so layer 1's keys have nothing to match and it always "
    "rests. Layer 0 has to write what it finds there; check its W_O."
)
def previous_never_written(basis: Basis) -> Pair:
    return position_head(basis, 1), _second(basis)


@induction_circuit.wrong(
    "layer 0 looks two back, so that layer 1 finds the second position after the copy: one step "
    "too far."
)
def two_back(basis: Basis) -> Pair:
    return writes_previous(basis, 2), _second(basis)


@induction_circuit.wrong(
    "layer 0 looks at its own position, so `previous` holds the same as `token`, and layer 1 finds "
    "the earlier copy, and itself, instead of what came after."
)
def previous_is_here(basis: Basis) -> Pair:
    return writes_previous(basis, 0), _second(basis)


@induction_circuit.wrong(
    "the two heads are in the wrong order. Layer 0's head comes first in the pair: keys can only "
    "hold what an earlier layer has written."
)
def wrong_order(basis: Basis) -> Pair:
    return _second(basis), writes_previous(basis)


@induction_circuit.wrong(
    "a new symbol finds no match and its attention spreads over everything before. Give it BOS to "
    "rest on, at half the score of a match."
)
def never_rests(basis: Basis) -> Pair:
    return writes_previous(basis), _second(basis, bos=0.0)


@induction_circuit.wrong(
    "query and key of layer 1 are exchanged: the query asks for what stood before it, the key "
    "offers its own symbol. That finds where the previous symbol stood before."
)
def query_and_key_exchanged(basis: Basis) -> Pair:
    return writes_previous(basis), _second(basis, query="previous", key="token")


@induction_circuit.wrong(
    "layer 1 looks at the right place and copies what layer 0 wrote there, the symbol before it: "
    "it predicts the current symbol again. Its W_V has to read `token`."
)
def copies_the_previous(basis: Basis) -> Pair:
    return writes_previous(basis), _second(basis)._replace(W_V=basis.previous.T)


@induction_circuit.wrong(
    "the match is too soft: W_Q lacks the scale sqrt(d_head) or the `sharpness` of a match."
)
def soft_match(basis: Basis) -> Pair:
    return writes_previous(basis), _second(basis, scale=1 / GAP)


@induction_circuit.wrong(
    "the right symbol comes out on top but hardly above the others: with W_O as it is, its logit "
    "is about 1. Scale W_O up."
)
def too_quiet(basis: Basis) -> Pair:
    return writes_previous(basis), _second(basis)._replace(W_O=basis.out)


slip(
    induction_circuit,
    "bos_as_high_as_a_match",
    "BOS scores as high as a match and takes half of its attention. Put it halfway between a"
    " match and no match.",
    ("gap * one]", "2 * gap * one]"),
)


@induction_circuit.wrong(
    "layer 0 writes into `token`, over the symbol that stands there, and `previous` stays "
    "empty. Write to `previous`, which is free."
)
def written_over_the_token(basis: Basis) -> Pair:
    return position_head(basis, 1)._replace(W_O=basis.token), _second(basis)


@induction_circuit.wrong(
    "layer 0 looks at the next position, which the mask hides. It has to look one back: offset 1."
)
def looks_ahead(basis: Basis) -> Pair:
    return writes_previous(basis, -1), _second(basis)


slip(
    induction_circuit,
    "asks_by_the_one_before",
    "layer 1's query is the symbol *before* the current one. It asks by the symbol that stands "
    "here: W_Q reads `token`.",
    (
        "2 * gap * basis.token.T, gap",
        "2 * gap * basis.previous.T, gap",
    ),
)
