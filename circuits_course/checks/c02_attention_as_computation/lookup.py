"""Exercise `lookup`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.behaviour import (
    bases,
    miswrites,
    run,
    shares,
    strays,
    summary,
    unusable,
)
from circuits_course.checks.c02_attention_as_computation.shared import BEHAVIOUR, position_head
from circuits_course.checks.slips import slip
from circuits_course.circuits.basis import Basis, HeadWeights, small_basis

lookup = Exercise(
    "lookup",
    difficulty=2,
    importance=4,
    minutes=8,
    tolerance=BEHAVIOUR,
    hints=[
        "Where must the head look, and which of your heads already looks there? What is left is "
        "what it writes.",
        "W_V = basis.token.T lights up dimension t for symbol t. Row t of W_O is what is then "
        "written. In `route` that was basis.out[t].",
        "Row t of W_O must be basis.out[table[t]]. Indexing with a tensor does all rows at once: "
        "basis.out[table].",
    ],
)


def _table(basis: Basis, seed: int | None = None) -> Tensor:
    """The next symbol of the vocabulary, or random ones (many to one); BOS stays BOS."""
    if seed is None:
        return torch.tensor([0, *range(2, basis.d_vocab), 1])
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(1, basis.d_vocab, (basis.d_vocab,), generator=generator)
    return table.index_fill(0, torch.tensor([0]), 0)


@lookup.cases
def _lookup_cases() -> Iterator[Case]:
    basis = small_basis()
    yield Case("a table that holds the next symbol of the alphabet", basis, _table(basis))
    for seed, (name, other) in enumerate(bases()):
        yield Case(f"{name} and a random table", other, _table(other, seed))


def _looked_up(basis: Basis, tokens: Tensor, table: Tensor) -> Tensor:
    wanted = torch.zeros(*tokens.shape, basis.d_vocab)
    for b, row in enumerate(tokens.tolist()):
        for q, token in enumerate(row[1:], start=1):
            wanted[b, q, int(table[token])] = 1.0
    return wanted


@lookup.prop
def _lookup_fits(head: Any, basis: Basis, table: Tensor) -> str | None:
    return unusable(basis, head)


@lookup.prop
def _lookup_writes(head: HeadWeights, basis: Basis, table: Tensor) -> str | None:
    ran = run(basis, head)
    write = ran.writes[0]
    complaint = strays(basis, write[:, 1:], "out")
    complaint = complaint or miswrites(
        basis, ran.tokens, write, _looked_up(basis, ran.tokens, table)
    )
    itself = ran.patterns[0].diagonal(dim1=-2, dim2=-1)[:, 1:].mean()
    return complaint and f"{complaint}. (It has {itself:.2f} of its attention on itself)"


@lookup.observe
def _lookup_seen(head: HeadWeights, basis: Basis, table: Tensor) -> Tensor:
    write = run(basis, head).writes[0][:, 1:]
    loud = write.norm(dim=-1, keepdim=True) > 0.1  # what leaks in from elsewhere says nothing
    return summary(basis, write, shares(basis, write) * loud)


@lookup.wrong(
    "the table is used backwards: you wrote symbol t where table[t] stands. Row t of W_O belongs "
    "to the symbol that is read."
)
def backwards(basis: Basis, table: Tensor) -> HeadWeights:
    W_O = torch.zeros_like(basis.out).index_add(0, table, basis.out)
    return position_head(basis, 0)._replace(W_O=W_O)


@lookup.wrong(
    "the table is right, but the head gathers from every position so far and writes a mixture. A "
    "lookup works on one symbol: attend to the position itself."
)
def attends_everywhere(basis: Basis, table: Tensor) -> HeadWeights:
    return position_head(basis, 0, 0.0)._replace(W_O=basis.out[table])


@lookup.wrong("the head looks up the symbol one back, not the one that stands here: offset 0.")
def looks_up_previous(basis: Basis, table: Tensor) -> HeadWeights:
    return position_head(basis, 1)._replace(W_O=basis.out[table])


@lookup.wrong(
    "this head writes the symbol that stands here, not the one that the table has for it."
)
def table_unused(basis: Basis, table: Tensor) -> HeadWeights:
    return position_head(basis, 0)


@lookup.wrong(
    "the table is shifted by one. It counts BOS as entry 0, as basis.token and basis.out do: row t "
    "belongs to table[t]."
)
def table_shifted(basis: Basis, table: Tensor) -> HeadWeights:
    return position_head(basis, 0)._replace(W_O=basis.out[table.roll(1)])


@lookup.wrong("the result is written into `token`, over the symbol that was read; use `out`.")
def over_the_token(basis: Basis, table: Tensor) -> HeadWeights:
    return position_head(basis, 0)._replace(W_O=basis.token[table])


@lookup.wrong("the table is applied twice, once in W_V and once in W_O.")
def applied_twice(basis: Basis, table: Tensor) -> HeadWeights:
    return position_head(basis, 0)._replace(W_O=basis.out[table[table]])


slip(
    lookup,
    "table_turned_round",
    "the table was read backwards: row t of W_O is what is written where t stands, out[table[t]].",
    (
        "W_O = basis.out[table]",
        "W_O = torch.zeros_like(basis.out)\n    W_O[table] = basis.out",
    ),
)


slip(
    lookup,
    "symbol_itself_as_well",
    "the symbol itself is written besides the one in the table.",
    (
        "basis.out[table]",
        "basis.out[table] + basis.out",
    ),
)


slip(
    lookup,
    "each_symbol_once",
    "a symbol that stands twice in the table is written for one of its places alone.",
    (
        "W_O = basis.out[table]",
        "first = torch.tensor([table.tolist().index(t) == i for i, t in "
        "enumerate(table.tolist())])\n"
        "    W_O = basis.out[table] * first[:, None]",
    ),
)
