"""Exercise `path_expansion`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import Path, hooked, loud_model
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip


def _pattern(model: Any, tokens: Tensor, layer: int) -> Tensor:
    return hooked(model, tokens, f"blocks.{layer}.attn.hook_pattern")


path_expansion = Exercise(
    "path_expansion",
    difficulty=4,
    importance=5,
    minutes=15,
    hints=[
        "A head with a frozen pattern is two matrix products: `pattern @ x` mixes positions, then "
        "W_V and W_O change the vector at each position.",
        "Every stream that exists below a head goes through it and becomes a new stream: the "
        "embedding, and for a head of layer 1 also what each head of layer 0 wrote.",
        "moved = pattern @ x @ model.W_V[layer, head] @ model.W_O[layer, head], kept under the key "
        "(*path, (layer, head)). With two layers of two heads there are 1 + 2 + 2 * 3 = 9 paths.",
    ],
)


@path_expansion.cases
def _path_cases() -> Iterator[Case]:
    yield Case(
        "a model with one head a layer: four paths", loud_model(2, 1, 5), random_tokens(1, 4)
    )
    yield Case("two layers of two heads", loud_model(2, 2, 0), random_tokens(2, 5, seed=1))
    yield Case("two layers of three heads", loud_model(2, 3, 9, 4), random_tokens(3, 7, seed=2))


def _ov(model: Any, layer: int, head: int) -> Tensor:
    return model.blocks[layer].attn.W_V[head] @ model.blocks[layer].attn.W_O[head]


@path_expansion.oracle
def _path_oracle(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    """Each path on its own: virtual pattern times embedding times virtual OV."""
    heads = range(model.cfg.n_heads)
    W_U, x = model.unembed.W_U, model.embed(tokens)
    low, high = (_pattern(model, tokens, layer) for layer in (0, 1))
    out: dict[Path, Tensor] = {(): x @ W_U}
    for a in heads:
        out[((0, a),)] = low[:, a] @ (x @ (_ov(model, 0, a) @ W_U))
        out[((1, a),)] = high[:, a] @ (x @ (_ov(model, 1, a) @ W_U))
    for a in heads:
        for b in heads:
            both = _ov(model, 0, a) @ _ov(model, 1, b) @ W_U
            out[((0, a), (1, b))] = high[:, b] @ low[:, a] @ (x @ both)
    return out


@path_expansion.wrong(
    "the virtual heads are missing: a head of layer 1 also moves what each head of layer 0 wrote. "
    "As it is, the paths do not sum to the logits."
)
def no_virtual_heads(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return {path: out for path, out in _path_oracle(model, tokens).items() if len(path) < 2}


@path_expansion.wrong(
    "the direct path, embedding to unembedding past all heads, is missing; its key is ()."
)
def no_direct_path(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return {path: out for path, out in _path_oracle(model, tokens).items() if path}


@path_expansion.wrong(
    "a head of layer 1 was given the whole residual stream, so its path contains the virtual ones "
    "as well and they count twice. Give it the embedding alone."
)
def counted_twice(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    out = _path_oracle(model, tokens)
    heads = range(model.cfg.n_heads)
    twice = {((1, b),): sum(out[((0, a), (1, b))] for a in heads) + out[((1, b),)] for b in heads}
    return {**out, **twice}


@path_expansion.wrong(
    "the keys name the higher head first. A path lists its heads in the order in which they are "
    "passed, lowest layer first."
)
def higher_head_first(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return {path[::-1]: out for path, out in _path_oracle(model, tokens).items()}


@path_expansion.wrong(
    "the position vectors are in the streams. In this model positions enter queries and keys only; "
    "what is moved is the token embedding alone."
)
def positions_moved(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    return _expanded(model, tokens, model.embed(tokens) + model.W_pos[: tokens.shape[1]])


def _expanded(
    model: Any, tokens: Tensor, x: Tensor, patterns: list[Tensor] | None = None
) -> dict[Path, Tensor]:
    patterns = patterns or [_pattern(model, tokens, layer) for layer in (0, 1)]
    streams: dict[Path, Tensor] = {(): x}
    for layer, pattern in enumerate(patterns):
        for path, value in dict(streams).items():
            for head in range(model.cfg.n_heads):
                moved = pattern[:, head] @ value @ _ov(model, layer, head)
                longer = (*path, (layer, head))
                streams[longer] = moved
    return {path: value @ model.W_U for path, value in streams.items()}


@path_expansion.wrong(
    "the patterns are transposed: rows are queries, so `pattern @ x` gathers, `pattern.mT @ x` "
    "scatters."
)
def patterns_transposed(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    patterns = [_pattern(model, tokens, layer).mT for layer in (0, 1)]
    return _expanded(model, tokens, model.embed(tokens), patterns)


@path_expansion.wrong(
    "the attention is missing: every stream stays at its own position. Multiply by the head's "
    "pattern, `pattern @ x`, to move it."
)
def not_moved(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    here = torch.eye(tokens.shape[1]).expand(len(tokens), model.cfg.n_heads, -1, -1)
    return _expanded(model, tokens, model.embed(tokens), [here, here])


@path_expansion.wrong(
    "layer 1 has the attention of layer 0. Each layer has a pattern of its own, taken from the "
    "full run."
)
def one_pattern_for_both(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    low = _pattern(model, tokens, 0)
    return _expanded(model, tokens, model.embed(tokens), [low, low])


@path_expansion.wrong(
    "the patterns of layer 1 were computed anew from the embedding alone. Freeze them as they were "
    "in the full run: only then do the paths sum to the logits."
)
def patterns_not_frozen(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    x = model.embed(tokens)
    with_positions = x + model.W_pos[: tokens.shape[1]]
    attn = model.blocks[1].attn
    q, k = (torch.einsum("bpm,hmd->bphd", with_positions, w) for w in (attn.W_Q, attn.W_K))
    patterns = [_pattern(model, tokens, 0), attn.scores(q, k).softmax(-1)]
    return _expanded(model, tokens, x, patterns)


@path_expansion.wrong(
    "these are vectors of the residual stream: multiply each by W_U to see what it adds to the "
    "logits."
)
def not_unembedded(model: Any, tokens: Tensor) -> dict[Path, Tensor]:
    x = model.embed(tokens)
    streams: dict[Path, Tensor] = {(): x}
    for layer in (0, 1):
        pattern = _pattern(model, tokens, layer)
        for path, value in dict(streams).items():
            for head in range(model.cfg.n_heads):
                moved = pattern[:, head] @ value @ _ov(model, layer, head)
                longer = (*path, (layer, head))
                streams[longer] = moved
    return streams


slip(
    path_expansion,
    "snapshot_forgotten",
    "heads of one layer read each other: the streams are extended while they are gone through. "
    "Take a copy before each layer, dict(streams).",
    ("dict(streams)", "streams"),
    ("below.items()", "list(below.items())"),
)


slip(
    path_expansion,
    "written_back_through_values",
    "W_V is used for the way out as well (transposed). A head writes through its W_O.",
    ("model.W_O[layer, head]", "model.W_V[layer, head].T"),
)


slip(
    path_expansion,
    "head_zero_writes",
    "the matrices are those of head 0 of the layer, whichever head it is.",
    (
        "model.W_V[layer, head] @ model.W_O[layer, head]",
        "model.W_V[layer, 0] @ model.W_O[layer, 0]",
    ),
)


slip(
    path_expansion,
    "every_head_reads_the_embedding",
    "each head read the embedding alone. On a path through two heads the second reads what the "
    "first has written: x.",
    (
        "pattern @ x @",
        "pattern @ streams[()] @",
    ),
)
