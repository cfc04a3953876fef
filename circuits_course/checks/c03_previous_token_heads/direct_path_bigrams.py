"""Exercise `direct_path_bigrams`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

direct_path_bigrams = Exercise(
    "direct_path_bigrams",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "On the direct path nothing happens between embedding and unembedding. What vector does "
        "the "
        "token put into the residual stream, and what turns it into one logit for each token?",
        "model.W_E[token] is [d_model], model.W_U is [d_model, d_vocab]: their product is a "
        "logit for "
        "every token that might come next.",
        "`topk(k)` gives the largest values and where they stand, strongest first; the places "
        "are the "
        "tokens: .indices.tolist().",
    ],
)


@cache
def _tied_model() -> CourseTransformer:
    """A random model that unembeds with its embedding, as many language models do."""
    cfg = CourseConfig(n_layers=1, n_heads=2, d_model=10, d_head=4, d_vocab=17, n_ctx=8, seed=2)
    model = CourseTransformer(cfg)
    with torch.no_grad():
        model.W_U.copy_(model.W_E.T)
    return model.requires_grad_(False)


@direct_path_bigrams.cases
def _direct_cases() -> Iterator[Case]:
    yield Case("token 4 of a random model, the 3 it raises most", random_model(), 4, 3)
    yield Case("token 0, the first alone", random_model(2, 5, seed=1), 0, 1)
    yield Case("a model that unembeds with its embedding", _tied_model(), 9, 5)
    yield Case("a random model, 10 tokens", random_model(seed=3), 29, 10)


@direct_path_bigrams.prop
def tokens_are_whole_numbers(tokens: Any, model: Any, token: int, k: int) -> str | None:
    """3.0 equals 3 and names no token."""
    listed = tokens.tolist() if isinstance(tokens, torch.Tensor) else list(tokens)
    floats = [one for one in listed if isinstance(one, float)]
    if not floats or any(one != int(one) for one in floats if math.isfinite(one)):
        return None
    return (
        f"your tokens are floats, {floats[0]} for {int(floats[0])}: they are places in the "
        "vocabulary, whole numbers, and are turned into words next"
    )


@direct_path_bigrams.oracle
def _direct_oracle(model: Any, token: int, k: int) -> list[int]:
    logits = [float((model.W_E[token] * model.W_U[:, t]).sum()) for t in range(model.W_U.shape[1])]
    return sorted(range(len(logits)), key=lambda t: -logits[t])[:k]


@direct_path_bigrams.wrong("these are the logits: return the tokens they stand at.")
def logits_returned(model: Any, token: int, k: int) -> list[float]:
    return (model.W_E[token] @ model.W_U).topk(k).values.tolist()


@direct_path_bigrams.wrong(
    "these are the tokens that the direct path lowers most: take the largest logits."
)
def smallest_logits(model: Any, token: int, k: int) -> list[int]:
    return (model.W_E[token] @ model.W_U).topk(k, largest=False).indices.tolist()


@direct_path_bigrams.wrong("the weakest comes first: strongest first, please.")
def weakest_token_first(model: Any, token: int, k: int) -> list[int]:
    return _direct_oracle(model, token, k)[::-1]


@direct_path_bigrams.wrong(
    "these are the tokens after which yours is raised most: you took a column of the table W_E "
    "W_U. "
    "The current token is its row."
)
def tokens_before(model: Any, token: int, k: int) -> list[int]:
    return (model.W_E @ model.W_U[:, token]).topk(k).indices.tolist()


@direct_path_bigrams.wrong(
    "these are the tokens with the most similar embeddings: you multiplied with W_E once more. The "
    "logits come from W_U."
)
def similar_embeddings(model: Any, token: int, k: int) -> list[int]:
    return (model.W_E @ model.W_E[token]).topk(k).indices.tolist()


@direct_path_bigrams.wrong(
    "this is what the whole model predicts after the token, heads included. The direct path is the "
    "product of two weight matrices; nothing has to be run."
)
def whole_model(model: Any, token: int, k: int) -> list[int]:
    return model(torch.tensor([[token]]))[0, -1].topk(k).indices.tolist()


@direct_path_bigrams.wrong(
    "you left the token itself out. Whether the direct path says it again is a finding, not a "
    "mistake: keep it."
)
def itself_left_out(model: Any, token: int, k: int) -> list[int]:
    return [t for t in _direct_oracle(model, token, k + 1) if t != token][:k]


slip(
    direct_path_bigrams,
    "without_a_sign",
    "you took absolute values, so that tokens which the direct path lowers stand among those"
    " it raises.",
    ("(model.W_E[token] @ model.W_U).topk", "(model.W_E[token] @ model.W_U).abs().topk"),
)


slip(
    direct_path_bigrams,
    "tokens_as_floats",
    "the tokens have become floats on the way (a float() or a tensor of floats). Keep them whole: "
    "topk(...).indices.tolist().",
    (".indices.tolist()", ".indices.float().tolist()"),
)


slip(
    direct_path_bigrams,
    "position_added",
    "W_pos was added. The table is about tokens alone: model.W_E[token].",
    (
        "model.W_E[token]",
        "(model.W_E[token] + model.W_pos[0])",
    ),
)


slip(
    direct_path_bigrams,
    "token_zero_left_out",
    "token 0 was left out. It is a token like any other here.",
    (
        "(model.W_E[token] @ model.W_U).topk(k).indices.tolist()",
        "(model.W_E[token] @ model.W_U)[1:].topk(k).indices.add(1).tolist()",
    ),
)


slip(
    direct_path_bigrams,
    "mean_embedding_taken_off",
    "the mean embedding was taken off first. Take the row as it is.",
    (
        "model.W_E[token]",
        "(model.W_E[token] - model.W_E.mean(0))",
    ),
)
