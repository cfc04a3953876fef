"""Exercise `effective_embedding`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.data import bos_token
from circuits_course.models.transformer import CourseTransformer

effective_embedding = Exercise(
    "effective_embedding",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "A token never stands at the very beginning: BOS does. How many positions has the shortest "
        "sequence with a token in it, and how many such sequences do you need?",
        "`prompts` is [word, 2]: BOS first, then the word. torch.stack puts two rows of tokens "
        "side by side if you tell it which axis is the new one.",
        "torch.stack([bos, words], dim=1); with dim=0 it would be [2, word].",
    ],
)


@cache
def _begins_with_three() -> CourseTransformer:
    """A model whose tokenizer begins sequences with token 3, as language models have their own."""
    model = copy.deepcopy(random_model(2, 3, seed=7, d_model=14))
    model.tokenizer = cast(Any, SimpleNamespace(bos_token_id=3))
    return model


@effective_embedding.cases
def _effective_cases() -> Iterator[Case]:
    model, other = random_model(), random_model(2, 3, seed=5, d_model=12, d_vocab=17)
    yield Case("three tokens, and what layer 0 makes of them", model, torch.tensor([5, 9, 2]))
    yield Case("before layer 2", model, random_tokens(7, 1, seed=1)[:, 0], layer=2)
    yield Case("layer=0: the rows of W_E", model, torch.tensor([4, 3, 8, 1]), layer=0)
    yield Case("another model, all of its layers", other, torch.arange(1, 17), layer=2)
    yield Case("two tokens", other, torch.tensor([6, 11]), layer=1)
    yield Case("the same token twice", model, torch.tensor([7, 3, 7]), layer=1)
    begins = _begins_with_three()
    yield Case("a model whose BOS is token 3", begins, torch.tensor([4, 8, 1, 5]), layer=1)
    yield Case("the same model, all of its layers", begins, torch.tensor([9, 0]), layer=2)


def _residual(model: Any, prompts: Tensor, layer: int) -> Tensor:
    """The stream that enters a layer, gathered by a hook on the stream."""
    kept: dict[str, Tensor] = {}
    last = layer == model.cfg.n_layers
    name = f"blocks.{layer - last}.hook_resid_{'post' if last else 'pre'}"

    def keep(x: Tensor, hook: Any) -> None:
        kept[hook.name] = x

    model.run_with_hooks(prompts, fwd_hooks=[(name, keep)])
    return kept[name]


def _after_bos(model: Any, words: Tensor) -> Tensor:
    return torch.stack([torch.full_like(words, bos_token(model)), words], 1)


@effective_embedding.oracle
def _effective_oracle(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    bos = bos_token(model)
    rows = [_residual(model, torch.tensor([[bos, int(word)]]), layer)[0, 1] for word in words]
    return torch.stack(rows)


@effective_embedding.wrong(
    "these are rows of W_E: what a token is before any layer has seen it. Run the layers below."
)
def raw(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return model.W_E[words]


@effective_embedding.wrong(
    "this is BOS's row: position 0. The token stands at position 1, and BOS is the same for all."
)
def of_bos(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _residual(model, _after_bos(model, words), layer)[:, 0]


@effective_embedding.wrong(
    "BOS is missing: the token stood first, where no token but BOS ever stands."
)
def without_bos(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _residual(model, words[:, None], layer)[:, 0]


@effective_embedding.wrong(
    "the words stood in one sequence, so that they saw each other. Give each its own [BOS, word]."
)
def one_sequence(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    n_ctx, rows = model.cfg.n_ctx - 1, []
    for part in words.split(n_ctx):
        prompt = torch.cat([_after_bos(model, part)[0, :1], part])[None]
        rows.append(_residual(model, prompt, layer)[0, 1:])
    return torch.cat(rows)


@effective_embedding.wrong(
    "the word and BOS are exchanged: BOS comes first. The word's row then saw nothing but itself."
)
def word_first(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _residual(model, _after_bos(model, words).flip(1), layer)[:, 1]


@effective_embedding.wrong("layer 1 is written into the function: use the argument `layer`.")
def layer_ignored(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _effective_oracle(model, words, 1)


@effective_embedding.wrong(
    "one layer too many has run: `layer` is the first that must not (stop_at_layer=layer)."
)
def one_too_far(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _effective_oracle(model, words, min(layer + 1, model.cfg.n_layers))


@effective_embedding.wrong("the whole model has run: stop before `layer`.")
def whole_model(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _effective_oracle(model, words, model.cfg.n_layers)


@effective_embedding.wrong(
    "both positions are still there, [word, 2, d_model]: keep the word's, position 1."
)
def both_positions(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _residual(model, _after_bos(model, words), layer)


@effective_embedding.wrong(
    "the embedding is taken off: that is what the layers below have added. Asked for is the "
    "whole residual stream."
)
def only_what_was_added(model: Any, words: Tensor, layer: int = 1) -> Tensor:
    return _effective_oracle(model, words, layer) - model.W_E[words]


slip(
    effective_embedding,
    "bos_is_always_0",
    "BOS is not token 0 in every model: bos_token(model) says which it is.",
    ("bos_token(model)", "0"),
)


slip(
    effective_embedding,
    "bos_row_taken_off",
    "BOS's row was subtracted. Asked for is the word's residual stream as it is.",
    (
        "[:, 1]",
        "[:, 1] - model(prompts, stop_at_layer=layer)[:, 0]",
    ),
)


slip(
    effective_embedding,
    "position_added_again",
    "W_pos was added. In these models positions are no part of the residual stream: take it as "
    "it is.",
    (
        "[:, 1]",
        "[:, 1] + model.W_pos[1]",
    ),
)


slip(
    effective_embedding,
    "each_word_once",
    "words that come twice are there once, and sorted. Keep a row for each, in their order.",
    (
        "bos = torch",
        "words = words.unique()\n    bos = torch",
    ),
)
