"""Exercise `score_terms`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

score_terms = Exercise(
    "score_terms",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "What the query reads is word + position, and so is what the key reads. Multiply out "
        "(w_i + p_i) W_QK (w_j + p_j): which four products come?",
        "Stack the two parts first: torch.stack([words, positions]) is [part, batch, pos, "
        "d_model]. One einsum then makes all four terms, with a part for the query and a part for "
        "the key.",
        '"query_part batch query d_in, d_in d_out, key_part batch key d_out -> query_part key_part '
        'batch query key", of parts, W_QK and parts.',
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


def _first_word_model() -> CourseTransformer:
    """One head by hand: its score is 1 where the query stands at position 2 and the key is `a`."""
    cfg = CourseConfig(
        n_layers=1, n_heads=1, d_model=3, d_head=1, d_vocab=3, n_ctx=3, vocabulary=("BOS", "a", "b")
    )
    model = CourseTransformer.blank(cfg)
    with torch.no_grad():
        model.embed.W_E[1, 0] = 1.0
        model.pos_embed.W_pos[2, 1] = 1.0
    query, key = torch.eye(3)[:, 1:2], torch.eye(3)[:, :1]
    model.set_head(0, 0, W_Q=query, W_K=key, W_V=0 * key, W_O=0 * key.T)
    return model.requires_grad_(False)


@score_terms.cases
def _term_cases() -> Iterator[Case]:
    yield Case("a head that looks from position 2 at the word a, wherever it stands",
               _first_word_model(), torch.tensor([[0, 1, 2]]), 0)  # fmt: skip
    yield Case("a random model", random_model(1, 3, seed=1), random_tokens(2, 5), 2)
    yield Case("another one", random_model(1, 4, seed=2), random_tokens(3, 7, seed=1), 1)
    yield Case("its first head", random_model(1, 4, seed=2), random_tokens(4, 4, seed=2), 0)


@score_terms.oracle
def _terms_oracle(model: Any, tokens: Tensor, head: int) -> Tensor:
    """By queries and keys, one pair of positions after the other."""
    batch, pos = tokens.shape
    W_Q, W_K = model.W_Q[0, head], model.W_K[0, head]
    terms = torch.zeros(2, 2, batch, pos, pos)
    for i in range(pos):
        for j in range(pos):
            queries = model.W_E[tokens[:, i]] @ W_Q, (model.W_pos[i] @ W_Q).expand(batch, -1)
            keys = model.W_E[tokens[:, j]] @ W_K, (model.W_pos[j] @ W_K).expand(batch, -1)
            for a, q in enumerate(queries):
                for b, k in enumerate(keys):
                    terms[a, b, :, i, j] = (q * k).sum(-1)
    return terms / math.sqrt(model.cfg.d_head)


def _terms(model: Any, head: int, queries: list[Tensor], keys: list[Tensor]) -> Tensor:
    W_QK = model.W_Q[0, head] @ model.W_K[0, head].T
    pattern = "abqm,mn,cbkn->acbqk"
    terms = torch.einsum(pattern, torch.stack(queries), W_QK, torch.stack(keys))
    return terms / model.cfg.d_head**0.5


def _inputs(model: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    words = model.W_E[tokens]
    return words, model.W_pos[: tokens.shape[1]].expand_as(words)


@score_terms.wrong("the terms are not divided by sqrt(d_head): scores are.")
def terms_unscaled(model: Any, tokens: Tensor, head: int) -> Tensor:
    return _terms_oracle(model, tokens, head) * model.cfg.d_head**0.5


@score_terms.wrong(
    "the parts of query and key are exchanged: terms[0, 1] takes the query's word and the key's "
    "position, terms[1, 0] the query's position and the key's word."
)
def parts_exchanged(model: Any, tokens: Tensor, head: int) -> Tensor:
    return _terms_oracle(model, tokens, head).transpose(0, 1)


@score_terms.wrong(
    "keys stand in the rows: the last two axes are [query, key], and W_QK is [query side, key "
    "side]."
)
def terms_with_keys_in_rows(model: Any, tokens: Tensor, head: int) -> Tensor:
    return _terms_oracle(model, tokens, head).mT


@score_terms.wrong(
    "W_QK is used transposed: its rows meet what the query reads, its columns what the key reads."
)
def circuit_turned(model: Any, tokens: Tensor, head: int) -> Tensor:
    words, positions = _inputs(model, tokens)
    parts = [words, positions]
    W_QK = model.W_K[0, head] @ model.W_Q[0, head].T
    terms = torch.einsum("abqm,mn,cbkn->acbqk", torch.stack(parts), W_QK, torch.stack(parts))
    return terms / model.cfg.d_head**0.5


@score_terms.wrong(
    "your word part holds the position as well. Cut the input: one part is the word alone, the "
    "other the position alone."
)
def word_and_position_together(model: Any, tokens: Tensor, head: int) -> Tensor:
    words, positions = _inputs(model, tokens)
    return _terms(model, head, [words + positions, positions], [words + positions, positions])


@score_terms.wrong(
    "positions are counted from 1. The first token, BOS, stands at position 0, so row 0 of W_pos "
    "is its own."
)
def positions_from_one(model: Any, tokens: Tensor, head: int) -> Tensor:
    words, _ = _inputs(model, tokens)
    late = model.W_pos.roll(-1, 0)[: tokens.shape[1]].expand_as(words)
    return _terms(model, head, [words, late], [words, late])


@score_terms.wrong(
    "these are the whole scores, all four terms added up. Keep the two part axes in front."
)
def terms_summed(model: Any, tokens: Tensor, head: int) -> Tensor:
    return _terms_oracle(model, tokens, head).sum((0, 1))


@score_terms.wrong("`head` has not been used: these are the terms of head 0.")
def terms_of_head_zero(model: Any, tokens: Tensor, head: int) -> Tensor:
    return _terms_oracle(model, tokens, 0)


@score_terms.wrong(
    "the future is masked. A mask belongs to the sum of the terms, not to each: leave them as they "
    "are."
)
def terms_masked(model: Any, tokens: Tensor, head: int) -> Tensor:
    terms = _terms_oracle(model, tokens, head)
    return terms.masked_fill(torch.ones(terms.shape[-2:]).triu(1).bool(), -torch.inf)


slip(
    score_terms,
    "positions_before_words",
    "part 0 is the word and part 1 the position; yours are the other way round.",
    ("[words, positions]", "[positions, words]"),
)


slip(
    score_terms,
    "keys_of_head_zero",
    "the keys are those of head 0, whatever `head` is: model.W_K[0, head].",
    (
        "model.W_K[0, head]",
        "model.W_K[0, 0]",
    ),
)


slip(
    score_terms,
    "queries_of_head_zero",
    "the queries are those of head 0, whatever `head` is: model.W_Q[0, head].",
    (
        "model.W_Q[0, head]",
        "model.W_Q[0, 0]",
    ),
)


slip(
    score_terms,
    "scaled_by_d_model",
    "the scores were divided by the root of d_model. It is d_head, over which they are summed.",
    (
        "model.cfg.d_head**0.5",
        "model.cfg.d_model**0.5",
    ),
)


slip(
    score_terms,
    "last_positions",
    "the positions were counted from the end of the context. The first token stands at position 0.",
    (
        "model.W_pos[: tokens.shape[1]]",
        "model.W_pos[-tokens.shape[1] :]",
    ),
)
