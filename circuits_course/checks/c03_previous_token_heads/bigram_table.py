"""Exercise `bigram_table`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import Head
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip

bigram_table = Exercise(
    "bigram_table",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "The direct path for all tokens at once is one matrix product, [d_vocab, d_vocab]. Which "
        "matrices does the current token pass through when a head looks at it and writes?",
        "Embedding, the head's W_V, the head's W_O, unembedding: four matrices in a row. What the "
        "paths write into the residual stream adds up, and so do their logits.",
        "table = model.W_E @ model.W_U, and for each (layer, head) add model.W_E @ "
        "model.W_V[layer, head] @ model.W_O[layer, head] @ model.W_U.",
    ],
)


@bigram_table.cases
def _table_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("no heads: the direct path alone", model, [])
    yield Case("one head, 1.2", model, [(1, 2)])
    yield Case("heads of three layers", model, [(2, 0), (0, 3), (1, 1)])
    yield Case("two heads of one layer", random_model(2, 5, seed=1), [(1, 0), (1, 4)])


@bigram_table.oracle
def _table_oracle(model: Any, heads: list[Head]) -> Tensor:
    """Row by row: the token's embedding, and what each head makes of it."""
    rows = []
    for token in range(model.cfg.d_vocab):
        x = model.W_E[token]
        writes = [x @ model.blocks[layer].attn.OV[head].AB for layer, head in heads]
        rows.append(torch.stack([x, *writes]).sum(0) @ model.W_U)
    return torch.stack(rows)


def _head_tables(model: Any, heads: list[Head]) -> list[Tensor]:
    return [model.W_E @ model.blocks[la].attn.OV[h].AB @ model.W_U for la, h in heads]


@bigram_table.wrong(
    "the direct path is missing: the embedding itself reaches the unembedding too, W_E W_U."
)
def direct_path_missing(model: Any, heads: list[Head]) -> Tensor:
    zero = torch.zeros(model.cfg.d_vocab, model.cfg.d_vocab)
    return torch.stack([zero, *_head_tables(model, heads)]).sum(0)


@bigram_table.wrong("the heads are missing: this is the direct path alone.")
def heads_missing(model: Any, heads: list[Head]) -> Tensor:
    return model.W_E @ model.W_U


@bigram_table.wrong("the table is transposed: rows are the current token, columns the next one.")
def table_transposed(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, heads).T


@bigram_table.wrong(
    "each head reads what the one before it has written. Here every head reads the current token's "
    "embedding: multiply W_E with each W_OV, and add."
)
def heads_chained(model: Any, heads: list[Head]) -> Tensor:
    x = model.W_E
    for layer, head in heads:
        x = x + x @ model.blocks[layer].attn.OV[head].AB
    return x @ model.W_U


@bigram_table.wrong(
    "you used W_Q and W_K, which decide where a head looks. What it writes goes through W_V and "
    "W_O."
)
def qk_for_ov(model: Any, heads: list[Head]) -> Tensor:
    tables = [model.W_E @ model.blocks[la].attn.QK[h].AB @ model.W_U for la, h in heads]
    return torch.stack([model.W_E @ model.W_U, *tables]).sum(0)


@bigram_table.wrong("only the last head counts: add what each of them writes.")
def last_head_only(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, heads[-1:])


@bigram_table.wrong("layer and head are exchanged: the pairs are (layer, head).")
def table_pairs_exchanged(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, [(h % model.cfg.n_layers, layer) for layer, h in heads])


@bigram_table.wrong(
    "these are probabilities: return the logits, before a softmax, so that paths can be added."
)
def probabilities_returned(model: Any, heads: list[Head]) -> Tensor:
    return _table_oracle(model, heads).softmax(-1)


slip(
    bigram_table,
    "circuit_turned",
    "W_OV is used transposed: what is read meets W_V first, then W_O.",
    ("@ W_OV @", "@ W_OV.T @"),
)


slip(
    bigram_table,
    "direct_path_again",
    "the direct path is added once more for each head. It counts once, and each head adds "
    "its own part.",
    (
        "table = table + model.W_E @ W_OV",
        "table = table + model.W_E @ model.W_U + model.W_E @ W_OV",
    ),
)


slip(
    bigram_table,
    "mean_of_the_heads",
    "the heads are averaged. Each adds all that it writes: sum over the heads.",
    (
        "table = table + model.W_E @ W_OV @ model.W_U",
        "table = table + model.W_E @ W_OV @ model.W_U / len(heads)",
    ),
)


slip(
    bigram_table,
    "embedding_with_position",
    "positions are added to the embedding. In this model they enter queries and keys only; "
    "the table is about tokens.",
    ("table = model.W_E @ model.W_U", "table = (model.W_E + model.W_pos.mean(0)) @ model.W_U"),
)


slip(
    bigram_table,
    "head_zero_of_the_layer",
    "the head's number is not heeded: head 0 of each layer was taken.",
    (
        "model.W_V[layer, head] @ model.W_O[layer, head]",
        "model.W_V[layer, 0] @ model.W_O[layer, 0]",
    ),
)


slip(
    bigram_table,
    "log_of_a_softmax",
    "a log-softmax was taken. Return the logits as they are.",
    (
        "return table",
        "return table.log_softmax(-1)",
    ),
)
