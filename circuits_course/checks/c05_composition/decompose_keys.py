"""Exercise `decompose_keys`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import hooked, loud_model
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip

decompose_keys = Exercise(
    "decompose_keys",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "The key's input is a sum: embedding, position, and what each lower head wrote. W_K and "
        "the dot product with the query are linear, so the score is a sum too.",
        'Head (l, h) wrote z @ W_O: cache["z", l] is [batch, pos, head, d_head], W_O is '
        "[layer, head, d_head, d_model].",
        "Append one [batch, pos, d_model] for each lower head, stack, multiply by "
        "model.W_K[layer, head]. The query stays whole.",
    ],
)


@decompose_keys.cases
def _keys_cases() -> Iterator[Case]:
    model = loud_model(3, 3, 2)
    yield Case("a head of layer 0: nobody wrote before it", model, random_tokens(2, 4), 0, 1)
    yield Case("head 1.2 of a random model", model, random_tokens(2, 5, seed=1), 1, 2)
    yield Case("head 2.1 of three layers", model, random_tokens(3, 6, seed=2), 2, 1)
    yield Case("four heads a layer", loud_model(2, 4, 3, 4), random_tokens(1, 7, seed=3), 1, 3)


def _lower_writes(model: Any, tokens: Tensor, layer: int) -> list[Tensor]:
    """What every head below a layer writes, heads of layer 0 first."""
    out = []
    for below in range(layer):
        z = hooked(model, tokens, f"blocks.{below}.attn.hook_z")
        W_O = model.blocks[below].attn.W_O
        out += [z[:, :, source] @ W_O[source] for source in range(model.cfg.n_heads)]
    return out


def _keys_with(model: Any, tokens: Tensor, layer: int, head: int, first: list[Tensor]) -> Tensor:
    """Scores of the whole query against the keys made of each write."""
    attn = model.blocks[layer].attn
    q = hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    writes = torch.stack([*first, *_lower_writes(model, tokens, layer)])
    keys = torch.einsum("cbpm,md->cbpd", writes, attn.W_K[head])
    return torch.einsum("bqd,cbkd->cbqk", q, keys) / math.sqrt(attn.W_K.shape[-1])


def _visible_part(parts: Tensor) -> Tensor:
    n_pos = parts.shape[-1]
    future = torch.ones(n_pos, n_pos, dtype=torch.bool).triu(1)
    return parts.masked_fill(future, 0.0)


def _start(model: Any, tokens: Tensor) -> Tensor:
    return model.embed(tokens) + model.W_pos[: tokens.shape[1]]


@decompose_keys.oracle
def _keys_oracle(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _visible_part(_keys_with(model, tokens, layer, head, [_start(model, tokens)]))


@decompose_keys.observe
def _keys_seen(parts: Any, model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    parts = torch.stack(list(parts)) if isinstance(parts, list | tuple) else parts
    return _visible_part(parts) if parts.ndim > 1 and parts.is_floating_point() else parts


@decompose_keys.wrong("the scale is missing: scores are divided by the square root of d_head.")
def without_scale(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_oracle(model, tokens, layer, head) * model.cfg.d_head**0.5


@decompose_keys.wrong(
    "the scores are divided by the square root of d_model. The dot product runs over d_head "
    "numbers."
)
def scaled_by_d_model(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    cfg = model.cfg
    return _keys_oracle(model, tokens, layer, head) * (cfg.d_head / cfg.d_model) ** 0.5


@decompose_keys.wrong(
    "the position is missing from component 0: keys read the embedding *plus* model.W_pos, and "
    "without it the components do not sum to the scores."
)
def position_left_out(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_with(model, tokens, layer, head, [model.embed(tokens)])


@decompose_keys.wrong(
    "the position is added to every component, so it counts many times. It enters the key's input "
    "once, with the embedding."
)
def position_everywhere(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    parts = _keys_oracle(model, tokens, layer, head)
    attn = model.blocks[layer].attn
    q = hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    place = q @ (model.W_pos[: tokens.shape[1]] @ attn.W_K[head]).mT / model.cfg.d_head**0.5
    return torch.cat([parts[:1], parts[1:] + place])


@decompose_keys.wrong(
    "embedding and position are two components. Here they are one, the first: what stands at the "
    "key before any head has written."
)
def embedding_and_position_apart(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    x = model.embed(tokens)
    place = (_start(model, tokens) - x).expand_as(x)
    return _keys_with(model, tokens, layer, head, [x, place])


@decompose_keys.wrong(
    "you split the queries. Keep the query whole, and split what the *keys* are made of."
)
def queries_split(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    attn = model.blocks[layer].attn
    k = hooked(model, tokens, f"blocks.{layer}.attn.hook_k")[:, :, head]
    writes = torch.stack([_start(model, tokens), *_lower_writes(model, tokens, layer)])
    return writes @ attn.W_Q[head] @ k.mT / model.cfg.d_head**0.5


@decompose_keys.wrong(
    "rows and columns are exchanged: a score is [query, key], q @ k.T and not k @ q.T."
)
def key_rows(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_with(model, tokens, layer, head, [_start(model, tokens)]).mT


@decompose_keys.wrong(
    "the heads of the layer itself are there too. They write after this layer's keys were made: "
    "stop at the layer below."
)
def own_layer_too(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    attn = model.blocks[layer].attn
    q = hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    writes = torch.stack([_start(model, tokens), *_lower_writes(model, tokens, layer + 1)])
    return q @ (writes @ attn.W_K[head]).mT / model.cfg.d_head**0.5


@decompose_keys.wrong(
    "the components are in another order: embedding first, then head 0 of layer 0, head 1 of layer "
    "0, and so on upwards."
)
def embedding_last(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _keys_oracle(model, tokens, layer, head).roll(-1, 0)


@decompose_keys.wrong(
    "the keys were made with W_Q: this head's keys are what W_K makes of its input."
)
def made_with_W_Q(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    W_Q = model.blocks[layer].attn.W_Q[head]
    q = hooked(model, tokens, f"blocks.{layer}.attn.hook_q")[:, :, head]
    writes = torch.stack([_start(model, tokens), *_lower_writes(model, tokens, layer)])
    return q @ (writes @ W_Q).mT / model.cfg.d_head**0.5


@decompose_keys.wrong(
    "each layer's heads are one component together. Keep them apart: the question is which head "
    "wrote it."
)
def whole_layers(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    parts = _keys_oracle(model, tokens, layer, head)
    layers = parts[1:].unflatten(0, (layer, model.cfg.n_heads)).sum(1) if layer else parts[1:]
    return torch.cat([parts[:1], layers])


slip(
    decompose_keys,
    "own_index_for_the_source",
    "every source's z was taken at the target's own head index. Go through the heads below: z[:, "
    ":, source].",
    ("[:, :, source]", "[:, :, head]"),
)


slip(
    decompose_keys,
    "layer_below_only",
    "only the layer just below is there. All layers below write into what the keys read.",
    ("range(layer)", "range(max(layer - 1, 0), layer)"),
)


slip(
    decompose_keys,
    "queries_from_the_embedding",
    "the queries were made from the embedding. They read all that stands in the stream: "
    'cache["q", layer].',
    ('cache["q", layer][:, :, head]', "written[0] @ model.W_Q[layer, head]"),
)


slip(
    decompose_keys,
    "values_for_z",
    "a head's values are taken for what it writes. It writes what it has gathered, z: the "
    "values mixed by its pattern.",
    ('cache["z", below]', 'cache["v", below]'),
)


slip(
    decompose_keys,
    "softmax_of_each",
    "each term has been through a softmax. The terms are scores and sum to the scores; a "
    "softmax comes after the sum.",
    (
        "return query @ keys.mT / model.cfg.d_head**0.5",
        "return (query @ keys.mT / model.cfg.d_head**0.5).softmax(-1)",
    ),
)


slip(
    decompose_keys,
    "layer_zero_only",
    "only the heads of layer 0 are there: all layers below `layer` have written to the keys.",
    ("for below in range(layer)", "for below in range(min(layer, 1))"),
)


slip(
    decompose_keys,
    "output_of_another_head",
    "every head's z went through W_O of head 0: take each head's own.",
    ("model.W_O[below, source]", "model.W_O[below, 0]"),
)
