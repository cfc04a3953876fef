"""Exercise `two_back`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights
from circuits_course.models.config import BOS_SYMBOL

two_back = Exercise(
    "two_back",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "The attention is written already: both heads look one back. What is left is what each "
        "moves. Which directions does the second head have to read, so that it passes on what the "
        "first one brought?",
        "W_V picks up: basis.token.T turns the direction of symbol t into coordinate t. W_O lays "
        "down: its row t is the direction that coordinate t is written along.",
        "First head: from token to previous. Second head: from previous to out, a few times larger "
        "so that the logits are clear.",
    ],
)


@cache
def _basis(n_symbols: int, n_ctx: int, seed: int | None) -> Basis:
    return Basis((BOS_SYMBOL, *"abcdefghij"[:n_symbols]), n_ctx, {}, seed)


@two_back.cases
def _two_back_cases() -> Iterator[Case]:
    yield Case("random sequences of four symbols", _basis(4, 7, None))
    yield Case("a basis of six symbols, turned", _basis(6, 10, 3))


def _sequences(basis: Basis) -> Tensor:
    tokens = random_tokens(6, basis.n_ctx, basis.d_vocab, seed=4)
    tokens[:, 0] = 0
    return tokens


@two_back.oracle
def _two_back_oracle(basis: Basis) -> Tensor:
    return _sequences(basis)[:, 1:-2]


@two_back.observe
def _seen(heads: Any, basis: Basis) -> Tensor:
    """What is predicted; where the chain is open, what each head reads and writes."""
    told = _open_links(heads, basis)
    if not told:
        return _predicted(heads, basis)
    return torch.tensor([[[group in part for group in GROUPS] for part in parts] for parts in told])


def _predicted(heads: Any, basis: Basis) -> Tensor:
    return basis.model(*heads)(_sequences(basis))[:, 3:].argmax(-1)


GROUPS = ("token", "previous", "out")


def _links(basis: Basis, head: HeadWeights) -> tuple[list[str], list[str]]:
    """The groups of directions that a head reads its values from, and those that it writes to."""
    _, _, W_V, W_O = map(torch.as_tensor, head)
    reads = [group for group in GROUPS if (basis.group(group) @ W_V).norm() > 0.1]
    return reads, [group for group in GROUPS if (W_O @ basis.group(group).T).norm() > 0.1]


def _open_links(heads: Any, basis: Basis) -> list[tuple[list[str], list[str]]]:
    """What each head reads and writes, where no symbol gets from `token` to `out` that way."""
    first, second = (_links(basis, head) for head in heads)
    handed_on = "token" in first[0] and set(first[1]) & set(second[0]) and "out" in second[1]
    at_once = any("token" in reads and "out" in writes for reads, writes in (first, second))
    return [] if handed_on or at_once else [first, second]


@two_back.prop
def two_heads(heads: Any, basis: Basis) -> str | None:
    if isinstance(heads, tuple | list) and len(heads) == 2 and all(len(h) == 4 for h in heads):
        return None
    return "expected two heads (first, second), each with W_Q, W_K, W_V and W_O"


@two_back.prop
def passes_the_symbol_on(heads: Any, basis: Basis) -> str | None:
    """Where nothing arrives at the unembedding: which link of the chain is open?"""
    told = [
        f"the {which} head reads {' and '.join(map(repr, reads)) or 'nothing'} and writes "
        f"{' and '.join(map(repr, writes)) or 'nothing'}"
        for which, (reads, writes) in zip(
            ("first", "second"), _open_links(heads, basis), strict=False
        )
    ]
    return f"{told[0]}, {told[1]}: so no symbol gets from 'token' to 'out'" if told else None


@two_back.prop
def only_together(heads: Any, basis: Basis) -> str | None:
    """With the first head silent, or its write kept from the second, the answer has to go."""
    first, second = heads
    W_Q, W_K, W_V, W_O = first
    silent = HeadWeights(W_Q, W_K, W_V, torch.zeros_like(torch.as_tensor(W_O)))
    tokens = _sequences(basis)
    right = (basis.model(silent, second)(tokens)[:, 3:].argmax(-1) == tokens[:, 1:-2]).float()
    if right.mean() < 0.9:
        return None
    return (
        "the answer is still right when the first head is silent, so the second does it alone; "
        "let each look one back"
    )


@two_back.prop
def first_is_silent(heads: Any, basis: Basis) -> str | None:
    """Where the answer is wrong: is it that the first head speaks for itself?"""
    tokens = _sequences(basis)
    if (_predicted(heads, basis) == tokens[:, 1:-2]).all():
        return None
    alone = basis.model(heads[0])(tokens)[:, 3:].argmax(-1)
    if (alone == tokens[:, 2:-1]).float().mean() < 0.9:
        return None
    return "the first head alone makes the model predict the symbol one back"


def _one_back(basis: Basis) -> tuple[Tensor, Tensor]:
    return 40.0 * basis.position.T, basis.position.T.roll(1, dims=1)


def _two(basis: Basis, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Any:
    W_Q, W_K = _one_back(basis)
    return HeadWeights(W_Q, W_K, *first), HeadWeights(W_Q, W_K, *second)


@two_back.wrong(
    "the second head reads `token`: it moves the symbol that stands one back, and what the first "
    "head brought there stays unread. Let it read `previous`."
)
def second_reads_token(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.token.T, 10 * basis.out))


@two_back.wrong(
    "the first head writes to `out`, where the unembedding reads it at once: the model predicts "
    "the symbol one back. Write to `previous`, which only the second head reads."
)
def first_writes_to_out(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, 10 * basis.out), (basis.previous.T, 10 * basis.out))


@two_back.wrong(
    "the second head writes to `previous` again, where nobody reads it: all logits are zero. The "
    "unembedding reads `out`."
)
def never_written_out(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.previous.T, 10 * basis.previous))


@two_back.wrong(
    "the heads are in the wrong order: the one that reads `token` belongs into layer 0. A head "
    "cannot read what is written above it."
)
def heads_exchanged(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.previous.T, 10 * basis.out))[::-1]


@two_back.wrong(
    "the first head writes into `token`, on top of the symbol that stands there already. The "
    "second head cannot tell the two apart; use `previous`, which is free."
)
def first_writes_to_token(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.token), (basis.token.T, 10 * basis.out))


@two_back.wrong(
    "the signs turn the answer round: one of the heads writes with a minus, so the right symbol "
    "gets the lowest logit."
)
def written_with_a_minus(basis: Basis) -> Any:
    return _two(basis, (basis.token.T, basis.previous), (basis.previous.T, -10 * basis.out))


@two_back.wrong(
    "the second head looks two back by itself and needs no first head. That is a good head, but "
    "not a composed one: let each look one back, and pass the symbol on through `previous`."
)
def one_head_does_it(basis: Basis) -> Any:
    W_Q, W_K = _one_back(basis)
    looks_two_back = W_Q, basis.position.T.roll(2, dims=1)
    first = HeadWeights(W_Q, W_K, basis.token.T, basis.previous)
    return first, HeadWeights(*looks_two_back, basis.token.T, 10 * basis.out)


slip(
    two_back,
    "each_two_back",
    "each head looks two back: together they reach four back. One each.",
    ("roll(1, dims=1)", "roll(2, dims=1)"),
)


slip(
    two_back,
    "attention_too_soft",
    "the heads look at the right places, but softly: what they carry is a mixture. Make the "
    "scores larger, the heads then put at least 0.9 there.",
    ("40.0 *", "1.0 *"),
)


slip(
    two_back,
    "answers_to_the_number_before",
    "position p answers to number p - 1, so every query looks for what comes after it. It should "
    "answer to p + 1.",
    ("roll(1, dims=1)", "roll(-1, dims=1)"),
)


@two_back.wrong(
    "the first head reads `previous`, where nothing stands yet. It moves the symbol itself: "
    "let it read `token`."
)
def first_reads_previous(basis: Basis) -> Any:
    return _two(basis, (basis.previous.T, basis.previous), (basis.previous.T, 10 * basis.out))
