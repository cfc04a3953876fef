"""Exercise `top_skip_trigrams`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

top_skip_trigrams = Exercise(
    "top_skip_trigrams",
    difficulty=4,
    importance=5,
    minutes=20,
    hints=[
        "There are two halves. From the QK circuit: how much does a token dest attend to the token "
        "source? From the OV circuit: what does the head add to the logit of each token out when "
        "it attends to source? The strength is their product.",
        "Token by token, W_E @ W_QK @ W_E.T / sqrt(d_head) holds the score of every query token "
        "(row) with every key token (column). A softmax over the keys makes it attention; take the "
        "column of source. Row `source` of W_E @ W_OV @ W_U is the other half.",
        "attention[:, source, None] * ov[source] is a table [dest, out]. `flatten().topk(k)` finds "
        "the best; divmod(index, d_vocab) turns a flat index back into (dest, out); "
        "model.to_single_str_token names a token.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@cache
def _idiom_model() -> CourseTransformer:
    """One head by hand: at "in" it looks at "keep" and adds to "mind"; the rest is idle."""
    words = ("BOS", "keep", "in", "mind", "a")
    cfg = CourseConfig(
        n_layers=1, n_heads=2, d_model=5, d_head=4, d_vocab=5, n_ctx=8, vocabulary=words
    )
    model = CourseTransformer.blank(cfg)
    hot = torch.eye(5)
    with torch.no_grad():
        model.embed.W_E.copy_(hot)
        model.unembed.W_U.copy_(hot)
    thin = torch.eye(5, 4)
    for head, keys, outs in ((0, "a", "a"), (1, "keep", "mind")):
        query = 8.0 * torch.outer(hot[words.index("in")], thin[0, :4])
        key = torch.outer(hot[words.index(keys)], thin[0, :4])
        write = 4.0 * torch.outer(thin[0, :4], hot[words.index(outs)])
        model.set_head(0, head, W_Q=query, W_K=key, W_V=key, W_O=write)
    return model.requires_grad_(False)


@top_skip_trigrams.cases
def _trigram_cases() -> Iterator[Case]:
    yield Case('a head written by hand for "keep ... in mind"', _idiom_model(), 1, "keep", 1)
    yield Case("a random model", random_model(1, 3, seed=1), 2, "c", 4)
    yield Case("another random model", random_model(1, 4, seed=2, d_head=5), 0, "h", 7)
    yield Case("its third head", random_model(1, 4, seed=2, d_head=5), 3, "b", 3)


@top_skip_trigrams.observe
def _named(found: Any, model: Any, head: int, source: str, k: int) -> Any:
    """Names for tokens and tuples for whatever holds the three."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return found
    return [_triple(item, model) for item in found]


def _triple(item: Any, model: Any) -> Any:
    if isinstance(item, Mapping):
        item = tuple(item.values())
    if not isinstance(item, Sequence) or len(item) != 3:
        return item
    dest, out, strength = item
    names = [t if isinstance(t, str) else model.cfg.vocabulary[int(t)] for t in (dest, out)]
    return (names[0].strip(), names[1].strip(), float(strength))


@top_skip_trigrams.oracle
def _trigrams_oracle(model: Any, head: int, source: str, k: int) -> list[tuple[str, str, float]]:
    """Word by word, with the head's own matrices; no circuit is ever multiplied out."""
    ranked = _all_trigrams(*_halves(model, head, source), model)
    return ranked[:k]


def _halves(model: Any, head: int, source: str) -> tuple[Tensor, Tensor]:
    """Attention of every dest to source, and what source adds to every out."""
    q, keys = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    token = model.cfg.vocabulary.index(source)
    attention = [F.softmax(keys @ row / math.sqrt(len(row)), dim=0)[token] for row in q]
    write = model.W_E[token] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return torch.stack(attention), write


def _all_trigrams(attention: Tensor, write: Tensor, model: Any) -> list[tuple[str, str, float]]:
    names = model.cfg.vocabulary
    table = [
        (names[dest], names[out], (attention[dest] * write[out]).item())
        for dest in range(len(names))
        for out in range(len(names))
    ]
    return sorted(table, key=lambda row: -row[2])


def _raw(model: Any, head: int) -> Tensor:
    q, k = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    return q @ k.T / model.cfg.d_head**0.5


def _token(model: Any, source: str) -> int:
    return model.cfg.vocabulary.index(source)


Trigrams = list[tuple[str, str, float]]


@top_skip_trigrams.wrong(
    "you multiplied scores with logits, without the softmax. Two negative numbers then make a "
    "strong trigram, and a constant added to a row of scores, which attention does not feel, "
    "changes the ranking. Turn scores into attention first."
)
def scores_instead_of_attention(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    return _all_trigrams(_raw(model, head)[:, _token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "source and dest are exchanged in the QK circuit: source is the key, the one looked at, so "
    "take its column, not its row."
)
def source_as_query(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    return _all_trigrams(_raw(model, head).softmax(-1)[_token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "the softmax runs over the queries. Each query shares out its attention over the keys: "
    "dim=-1 of [query token, key token]."
)
def softmax_over_dests(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    return _all_trigrams(_raw(model, head).softmax(0)[:, _token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "what the head writes is read from dest. A head reads its values where it looks, so the OV "
    "circuit is applied to source: strength[dest, out] = attention[dest, source] * ov[source, out]."
)
def written_from_dest(model: Any, head: int, source: str, k: int) -> Trigrams:
    attention, _ = _halves(model, head, source)
    ov = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    names = model.cfg.vocabulary
    values, flat = (attention[:, None] * ov).flatten().topk(k)
    pairs = [divmod(index, len(names)) for index in flat.tolist()]
    return [(names[d], names[o], v) for (d, o), v in zip(pairs, values.tolist(), strict=True)]


@top_skip_trigrams.wrong("the scores are not divided by sqrt(d_head) before the softmax.")
def trigrams_unscaled(model: Any, head: int, source: str, k: int) -> Trigrams:
    _, write = _halves(model, head, source)
    raw = _raw(model, head) * model.cfg.d_head**0.5
    return _all_trigrams(raw.softmax(-1)[:, _token(model, source)], write, model)[:k]


@top_skip_trigrams.wrong(
    "the column of the OV circuit was taken instead of the row: that is how much other tokens "
    "raise the logit of source. Rows of W_E @ W_OV @ W_U are what is read."
)
def written_to_source(model: Any, head: int, source: str, k: int) -> Trigrams:
    attention, _ = _halves(model, head, source)
    ov = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    return _all_trigrams(attention, ov[:, _token(model, source)], model)[:k]


@top_skip_trigrams.wrong("these are the weakest: sort in descending order.")
def weakest_first(model: Any, head: int, source: str, k: int) -> Trigrams:
    return _all_trigrams(*_halves(model, head, source), model)[::-1][:k]


@top_skip_trigrams.wrong(
    "dest and out are exchanged in your triples. In a flat index of a [dest, out] table, "
    "divmod(index, d_vocab) gives dest first."
)
def dest_and_out_exchanged(model: Any, head: int, source: str, k: int) -> Trigrams:
    return [(out, dest, value) for dest, out, value in _trigrams_oracle(model, head, source, k)]


@top_skip_trigrams.wrong("`head` has not been used: these are the trigrams of head 0.")
def always_head_zero(model: Any, head: int, source: str, k: int) -> Trigrams:
    return _trigrams_oracle(model, 0, source, k)


@top_skip_trigrams.wrong(
    "you ranked by size regardless of sign. A strong negative number means the head lowers that "
    "token's logit."
)
def ranked_by_size(model: Any, head: int, source: str, k: int) -> Trigrams:
    ranked = _all_trigrams(*_halves(model, head, source), model)
    return sorted(ranked, key=lambda row: -abs(row[2]))[:k]
