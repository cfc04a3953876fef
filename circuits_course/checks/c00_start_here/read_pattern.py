"""Exercise `read_pattern`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip

read_pattern = Exercise(
    "read_pattern",
    difficulty=1,
    importance=5,
    minutes=10,
    hints=[
        "`model.run_with_cache(tokens)` returns two things: the logits and a cache of everything "
        "the model computed on the way.",
        'The cache is read by name and layer: cache["pattern", layer] has the shape '
        "[batch, head, query, key].",
        "Which axis is the head? Take one entry of it and keep the others.",
    ],
)


@read_pattern.cases
def _pattern_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("layer 1, head 2 of a random model", model, random_tokens(2, 5), 1, 2)
    yield Case("layer 0, head 0", model, random_tokens(3, 7, seed=1), 0, 0)
    yield Case("the last layer and head", model, random_tokens(4, 6, seed=2), 2, 3)
    yield Case(
        "as many heads as sequences", random_model(2, 3, seed=5), random_tokens(3, 3, seed=3), 1, 2
    )


@read_pattern.oracle
def _pattern_oracle(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    seen: list[Tensor] = []
    hook = (f"blocks.{layer}.attn.hook_pattern", lambda pattern, hook: seen.append(pattern.clone()))
    model.run_with_hooks(tokens, fwd_hooks=[hook])
    return seen[0].select(1, head)


def _cached(model: Any, tokens: Tensor, name: str, layer: int) -> Tensor:
    return model.run_with_cache(tokens)[1][name, layer]


@read_pattern.wrong(
    "these are the scores, from before the softmax. Their rows do not sum to 1; the pattern's do."
)
def scores_not_pattern(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "attn_scores", layer)[:, head]


@read_pattern.wrong(
    "you indexed the batch with `head`. The cache holds [batch, head, query, key]: the first axis "
    "is the batch."
)
def batch_indexed(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)[head]


@read_pattern.wrong("all heads are there: pick one, on axis 1.")
def every_head(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)


@read_pattern.wrong("layer and head are exchanged.")
def layer_and_head_exchanged(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", head)[:, layer]


@read_pattern.wrong("rows and columns are exchanged: rows are queries, the ones who look.")
def keys_as_rows(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)[:, head].mT


@read_pattern.wrong("only the first sequence is there: keep the whole batch.")
def first_sequence(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _cached(model, tokens, "pattern", layer)[0, head]


slip(
    read_pattern,
    "last_axis_indexed",
    "you picked from the last axis, the keys. Heads are axis 1: [:, head].",
    ("[:, head]", "[..., head]"),
)


slip(
    read_pattern,
    "query_axis_indexed",
    "you picked from axis 2, the queries. Heads are axis 1: [:, head].",
    ("[:, head]", "[:, :, head]"),
)


slip(
    read_pattern,
    "heads_averaged",
    "you averaged over the heads. Pick one, on axis 1: [:, head].",
    ("[:, head]", ".mean(1)"),
)
