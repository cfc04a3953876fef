"""Exercise `previous_token_scores`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import routing_model
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip

previous_token_scores = Exercise(
    "previous_token_scores",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        'cache["pattern", layer] is [batch, head, query, key]. Which of your functions turns it '
        "into a score per head and offset, and which offset is the previous token?",
        "Before scoring, cut off the first row and the first column: then BOS is neither query nor "
        "key. Average over the batch afterwards, and stack the layers.",
        'For one layer: diagonal_scores(cache["pattern", layer][..., 1:, 1:], 1)[..., 1].mean(0) '
        "has the shape [head].",
    ],
)


@previous_token_scores.cases
def _previous_cases() -> Iterator[Case]:
    hand_made = routing_model((((4, 9.0), (0, 9.0), (2, 9.0)), ((0, 9.0), (1, 9.0), (3, 2.0))))
    yield Case("a model whose head 1.1 looks at the token before", hand_made, random_tokens(2, 5))
    sink = routing_model((((11, 9.0), (1, 3.0)),))
    yield Case("a model of one layer with two heads", sink, random_tokens(1, 4, seed=1))
    yield Case("a random model", random_model(), random_tokens(3, 9, seed=2))
    yield Case("another random model", random_model(2, 5, seed=4), random_tokens(4, 12, seed=3))


def _hooked_patterns(model: Any, tokens: Tensor, name: str = "pattern") -> list[Tensor]:
    seen: list[Tensor] = []
    model.run_with_hooks(
        tokens,
        fwd_hooks=[
            (f"blocks.{layer}.attn.hook_{name}", lambda p, hook: seen.append(p.clone()))
            for layer in range(model.cfg.n_layers)
        ],
    )
    return seen


@previous_token_scores.oracle
def _previous_oracle(model: Any, tokens: Tensor) -> Tensor:
    queries = range(2, tokens.shape[1])
    return torch.stack(
        [
            torch.stack([p[:, :, q, q - 1] for q in queries]).mean((0, 1))
            for p in _hooked_patterns(model, tokens)
        ]
    )


def _every_layer(model: Any, tokens: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.stack([score(p) for p in _hooked_patterns(model, tokens)])


@previous_token_scores.wrong(
    "BOS counts as a key: for query 1 it is the previous token, and a head that parks its "
    "attention "
    "there gets a score for that. Cut its row and column off first: pattern[..., 1:, 1:]."
)
def bos_kept(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p.diagonal(-1, -2, -1).mean((0, -1)))


@previous_token_scores.wrong(
    "you left BOS out of the sum but not out of the count: with BOS cut off, pos - 2 queries "
    "have a "
    "previous token."
)
def bos_still_counted(model: Any, tokens: Tensor) -> Tensor:
    return _previous_oracle(model, tokens) * (tokens.shape[1] - 2) / (tokens.shape[1] - 1)


@previous_token_scores.wrong(
    "this is offset 0, attention to the current token itself. The previous token is offset 1."
)
def current_token(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p[..., 1:, 1:].diagonal(0, -2, -1).mean((0, -1)))


@previous_token_scores.wrong(
    "this is offset 2, one token too far back: diagonal_scores begins at offset 0, so the previous "
    "token is entry 1."
)
def two_back(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p[..., 1:, 1:].diagonal(-2, -2, -1).mean((0, -1)))


@previous_token_scores.wrong("the axes are exchanged: layers are rows, heads are columns.")
def heads_as_rows(model: Any, tokens: Tensor) -> Tensor:
    return _previous_oracle(model, tokens).T


@previous_token_scores.wrong("only the first sequence counts: average over the batch.")
def first_sequence_only(model: Any, tokens: Tensor) -> Tensor:
    return _previous_oracle(model, tokens[:1])


@previous_token_scores.wrong("the batch axis is still there: average over the sequences too.")
def batch_kept(model: Any, tokens: Tensor) -> Tensor:
    return _every_layer(model, tokens, lambda p: p[..., 1:, 1:].diagonal(-1, -2, -1).mean(-1))


@previous_token_scores.wrong(
    'these are the scores from before the softmax: read cache["pattern", layer].'
)
def scores_before_softmax(model: Any, tokens: Tensor) -> Tensor:
    scores = _hooked_patterns(model, tokens, "attn_scores")
    return torch.stack([s[..., 1:, 1:].diagonal(-1, -2, -1).mean((0, -1)) for s in scores])


slip(
    previous_token_scores,
    "bos_kept_as_key",
    "BOS is cut off as a query and still counts as a key, so all columns are off by one: cut "
    "both, pattern[..., 1:, 1:].",
    ("[..., 1:, 1:]", "[..., 1:, :]"),
)


slip(
    previous_token_scores,
    "best_sequence",
    "the largest score of any sequence counts. One lucky sequence is no finding: take the mean.",
    (".mean(0) for", ".amax(0) for"),
)


slip(
    previous_token_scores,
    "layer_zero_for_all",
    "every row holds the scores of layer 0: take each layer's own pattern.",
    ('cache["pattern", layer]', 'cache["pattern", 0]'),
)


slip(
    previous_token_scores,
    "median_of_sequences",
    "that is the median over the sequences. Asked for is the mean.",
    (
        "[..., 1].mean(0)",
        "[..., 1].median(0).values",
    ),
)
