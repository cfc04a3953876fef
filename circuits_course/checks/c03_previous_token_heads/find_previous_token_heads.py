"""Exercise `find_previous_token_heads`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.previous_token_scores import _previous_oracle
from circuits_course.checks.c03_previous_token_heads.shared import Head, routing_model
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.references import load_reference

find_previous_token_heads = Exercise(
    "find_previous_token_heads",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "You have a table of scores [layer, head]. Which of its cells are over the threshold, and "
        "how do you get from a cell to the pair (layer, head)?",
        "(scores > threshold).nonzero() lists the cells as rows of two numbers: layer, head.",
        "Make a dictionary {(layer, head): score}; the last line sorts its keys by their score.",
    ],
)


@find_previous_token_heads.cases
def _find_cases() -> Iterator[Case]:
    two = routing_model((((1, 3.0), (0, 9.0), (0, 9.0)), ((2, 9.0), (0, 9.0), (1, 6.0))))
    tokens = random_tokens(2, 9)
    yield Case("a model whose head 1.2 looks at the token before, and 0.0 a little less",
               two, tokens, 0.5)  # fmt: skip
    yield Case("the same model with a threshold that only one passes", two, tokens, 0.9)
    yield Case("a model without any such head", routing_model((((0, 9.0), (3, 9.0)),)), tokens, 0.5)
    four = routing_model(
        (((1, 2.0), (1, 5.0), (0, 1.0), (1, 0.0)), ((1, 9.0), (2, 3.0), (1, 4.0), (4, 1.0)))
    )
    yield Case("a model with several of different strength", four, random_tokens(3, 11), 0.4)
    yield Case("a random model", random_model(), random_tokens(3, 9, seed=2), 0.2)
    near = routing_model((((1, 1.9), (1, 2.6), (1, 1.6)), ((1, 2.1), (1, 5.0), (1, 1.2))))
    yield Case("the usual threshold, and heads on both sides of it", near, random_tokens(2, 11))
    yield Case("a low threshold, which eight heads pass", random_model(), random_tokens(2, 6), 0.05)


@find_previous_token_heads.oracle
def _find_oracle(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    scores = _previous_oracle(model, tokens).tolist()
    found = [
        (score, (layer, head))
        for layer, row in enumerate(scores)
        for head, score in enumerate(row)
        if score > threshold
    ]
    return [head for _, head in sorted(found, reverse=True)]


@find_previous_token_heads.wrong(
    "they come in the order of the layers. Strongest first: sort by the score, in reverse."
)
def in_layer_order(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    return sorted(_find_oracle(model, tokens, threshold))


@find_previous_token_heads.wrong("the weakest comes first: sort in reverse.")
def weakest_first(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    return _find_oracle(model, tokens, threshold)[::-1]


@find_previous_token_heads.wrong("the pairs are (head, layer): the layer comes first.")
def head_before_layer(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    return [(head, layer) for layer, head in _find_oracle(model, tokens, threshold)]


@find_previous_token_heads.wrong("you kept the heads below the threshold instead of those over it.")
def below_threshold(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    every = _find_oracle(model, tokens, -1.0)
    return [head for head in every if head not in _find_oracle(model, tokens, threshold)]


@find_previous_token_heads.wrong(
    "only the strongest is there: every head over the threshold counts."
)
def strongest_only(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    return _find_oracle(model, tokens, threshold)[:1]


@find_previous_token_heads.wrong(
    "there is one head for each layer. A layer may have several such heads, or none: compare every "
    "score with the threshold."
)
def best_of_each_layer(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Head]:
    scores = _previous_oracle(model, tokens)
    best = [(layer, int(row.argmax())) for layer, row in enumerate(scores)]
    return sorted(best, key=lambda pair: -scores[pair].item())


@find_previous_token_heads.wrong(
    "these are places in the flattened table. Turn them back into (layer, head): "
    "divmod(index, n_heads)."
)
def flat_indices(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[int]:
    return [
        layer * model.cfg.n_heads + head for layer, head in _find_oracle(model, tokens, threshold)
    ]


@find_previous_token_heads.wrong(
    "only heads of layer 0 are there: a later layer may have such heads too."
)
def layer_zero_only(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Any]:
    found = load_reference("03_previous_token_heads").find_previous_token_heads
    return [head for head in found(model, tokens, threshold) if head[0] == 0]


@find_previous_token_heads.wrong(
    "the scores are still with them: return the pairs (layer, head) alone."
)
def with_their_scores(model: Any, tokens: Tensor, threshold: float = 0.5) -> list[Any]:
    reference = load_reference("03_previous_token_heads")
    scores = reference.previous_token_scores(model, tokens)
    found = reference.find_previous_token_heads(model, tokens, threshold)
    return [(head, scores[head].item()) for head in found]
