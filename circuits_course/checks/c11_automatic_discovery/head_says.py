"""Exercise `head_says`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Case, Exercise, Tolerance
from circuits_course.checks.c11_automatic_discovery.shared import one_head, small_model
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

head_says = Exercise(
    "head_says",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "Chapter 01's attention, with one difference: q, k and v are made from three streams in "
        "place of one. Which of the three also gets the positions?",
        "scores [batch, query, key] are q @ k.mT, divided by the scale; the future is filled with "
        "-inf before the softmax over keys.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@head_says.cases
def _cases() -> Iterator[Case]:
    for seed, (layer, head, batch, pos) in enumerate([(0, 1, 2, 4), (1, 2, 3, 6), (1, 0, 2, 5)]):
        streams = [normal(batch, pos, 20, seed=10 * seed + i) for i in range(3)]
        yield Case(f"three streams into head {layer}.{head}", small_model(), layer, head, *streams)
    same = normal(2, 7, 20, seed=77)
    yield Case("the same stream three times", small_model(), 1, 1, same, same, same)


@head_says.oracle
def _oracle(
    model: Any, layer: int, head: int, into_q: Tensor, into_k: Tensor, into_v: Tensor
) -> Tensor:
    """Query by query."""
    n_pos, d_head = into_q.shape[1], model.W_Q.shape[-1]
    out = torch.zeros_like(into_q)
    for query in range(n_pos):
        q = (into_q[:, query] + model.W_pos[query]) @ model.W_Q[layer, head]
        keys = [(into_k[:, j] + model.W_pos[j]) @ model.W_K[layer, head] for j in range(query + 1)]
        weights = torch.stack([(q * k).sum(-1) for k in keys], -1).div(d_head**0.5).softmax(-1)
        for j in range(query + 1):
            said = into_v[:, j] @ model.W_V[layer, head] @ model.W_O[layer, head]
            out[:, query] += weights[:, j, None] * said
    return out


@head_says.wrong(
    "positions were added to what values read. They belong to queries and keys alone: what a head "
    "moves is what stands in the stream."
)
def positions_in_values(model: Any, layer: int, head: int, *streams: Tensor) -> Tensor:
    return one_head(model, layer, head, *streams, place=(1, 1, 1))


@head_says.wrong("positions are missing: add model.W_pos to what queries and keys read.")
def no_positions(model: Any, layer: int, head: int, *streams: Tensor) -> Tensor:
    return one_head(model, layer, head, *streams, place=(0, 0, 0))


@head_says.wrong("positions are added to the queries alone; keys need them as well.")
def no_key_positions(model: Any, layer: int, head: int, *streams: Tensor) -> Tensor:
    return one_head(model, layer, head, *streams, place=(1, 0, 0))


@head_says.wrong("scores are not divided by model.cfg.attn_scale.")
def no_scale(model: Any, layer: int, head: int, *streams: Tensor) -> Tensor:
    return one_head(model, layer, head, *streams, scale=1.0)


@head_says.wrong("queries see the future: fill the scores above the diagonal with -inf.")
def no_mask(model: Any, layer: int, head: int, *streams: Tensor) -> Tensor:
    return one_head(model, layer, head, *streams, causal=False)


@head_says.wrong(
    "the softmax runs over queries. For each query the weights of its keys sum to 1: dim=-1."
)
def over_queries(model: Any, layer: int, head: int, *streams: Tensor) -> Tensor:
    return one_head(model, layer, head, *streams, over=-2)


@head_says.wrong("the streams of queries and keys are exchanged.")
def exchanged(
    model: Any, layer: int, head: int, into_q: Tensor, into_k: Tensor, into_v: Tensor
) -> Tensor:
    return one_head(model, layer, head, into_k, into_q, into_v)


@head_says.wrong(
    "one stream feeds all three, as in an uncut model. Keys read into_k, values into_v."
)
def one_stream(
    model: Any, layer: int, head: int, into_q: Tensor, into_k: Tensor, into_v: Tensor
) -> Tensor:
    return one_head(model, layer, head, into_q, into_q, into_q)


slip(
    head_says,
    "masked_by_zero",
    "the future was filled with 0. A score of 0 still gets attention: fill with -inf before "
    "the softmax.",
    (
        "pattern = scores.masked_fill(future, -torch.inf).softmax(-1)",
        "pattern = scores.masked_fill(future, 0.0).softmax(-1)",
    ),
)


slip(
    head_says,
    "masked_after_the_softmax",
    "the mask came after the softmax, so rows no longer sum to 1. Fill the scores with -inf "
    "before it.",
    (
        "pattern = scores.masked_fill(future, -torch.inf).softmax(-1)",
        "pattern = scores.softmax(-1).masked_fill(future, 0.0)",
    ),
)


slip(
    head_says,
    "divided_twice",
    "the scores were divided by the scale twice.",
    ("/ model.cfg.attn_scale", "/ model.cfg.attn_scale**2"),
)


slip(
    head_says,
    "divided_by_d_model",
    "the scores were divided by the root of d_model. Divide by model.cfg.attn_scale, the "
    "root of d_head.",
    ("/ model.cfg.attn_scale", "/ model.cfg.d_model**0.5"),
)


slip(
    head_says,
    "no_query_positions",
    "positions are added to the keys alone; queries need them as well.",
    ("q = (into_q + place)", "q = into_q"),
)


slip(
    head_says,
    "first_heads_W_O",
    "what the head gathered went through the W_O of head 0. Each head has its own: "
    "W_O[layer, head].",
    ("model.W_O[layer, head]", "model.W_O[layer, 0]"),
)


slip(
    head_says,
    "values_exchanged_with_keys",
    "the streams of keys and values are exchanged.",
    ("k = (into_k + place)", "k = (into_v + place)"),
    ("v = into_v @", "v = into_k @"),
)


slip(
    head_says,
    "values_exchanged_with_queries",
    "the streams of queries and values are exchanged.",
    ("q = (into_q + place)", "q = (into_v + place)"),
    ("v = into_v @", "v = into_q @"),
)


slip(
    head_says,
    "scores_transposed",
    "the scores stand as [key, query]. Queries are rows: q @ k.mT.",
    ("q @ k.mT", "k @ q.mT"),
)


slip(
    head_says,
    "past_masked",
    "the past was masked and the future left: `future` is True above the diagonal, where "
    "keys come after the query.",
    ("masked_fill(future,", "masked_fill(future.T,"),
)


slip(
    head_says,
    "values_of_another_layer",
    "the values went through the W_V of layer 0: W_V[layer, head].",
    ("model.W_V[layer, head]", "model.W_V[0, head]"),
)


slip(
    head_says,
    "scale_multiplied",
    "the scores were multiplied by the scale. Divide by it.",
    ("/ model.cfg.attn_scale", "* model.cfg.attn_scale"),
)


slip(
    head_says,
    "no_matrices_for_keys",
    "queries met the stream through W_Q on both sides. Keys have a matrix of their own: W_K.",
    ("model.W_K[layer, head]", "model.W_Q[layer, head]"),
)


slip(
    head_says,
    "own_position_masked",
    "the own position was masked as well. A query sees itself: triu(1), as `future` has it.",
    (
        "pattern = scores.masked_fill(future, -torch.inf).softmax(-1)",
        "hidden = torch.ones_like(future).triu(0)\n"
        "    hidden[0, 0] = False\n"
        "    pattern = scores.masked_fill(hidden, -torch.inf).softmax(-1)",
    ),
)


slip(
    head_says,
    "strongest_key_only",
    "each query took the value of its strongest key alone. Weigh all values by the softmax.",
    (
        "pattern = scores.masked_fill(future, -torch.inf).softmax(-1)",
        "pattern = scores.masked_fill(future, -torch.inf).softmax(-1)\n"
        "    pattern = torch.nn.functional.one_hot(pattern.argmax(-1), n_pos).float()",
    ),
)


slip(
    head_says,
    "attends_evenly",
    "every query attends evenly to all earlier keys. The pattern is the softmax of the scores.",
    (
        "pattern = scores.masked_fill(future, -torch.inf).softmax(-1)",
        "pattern = (scores * 0).masked_fill(future, -torch.inf).softmax(-1)",
    ),
)


slip(
    head_says,
    "places_from_the_end",
    "the positions were counted from the end of the context. The first token stands at position "
    "0: W_pos[:n_pos].",
    (
        "model.W_pos[:n_pos]",
        "model.W_pos[-n_pos:]",
    ),
)
