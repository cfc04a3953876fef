"""Exercise `zero_head`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip

zero_head = Exercise(
    "zero_head",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "A hook is a function that is handed an activation while the model runs. What it returns "
        "takes the activation's place.",
        '"z" has the shape [batch, pos, head, d_head]: what each head is about to write, before '
        "its W_O. Set one head's part of it to zero.",
        "z[:, :, head] = 0.0 inside the hook, and nothing else. `run_with_hooks` takes the hook "
        "off again after the run.",
    ],
)


@zero_head.cases
def _zero_cases() -> Iterator[Case]:
    model = random_model()
    yield Case("layer 1, head 2 of a random model", model, random_tokens(2, 5), 1, 2)
    yield Case("layer 0, head 0", model, random_tokens(3, 7, seed=1), 0, 0)
    yield Case("the last layer and head", model, random_tokens(5, 6, seed=2), 2, 3)
    yield Case(
        "as many heads as tokens", random_model(2, 3, seed=5), random_tokens(2, 3, seed=3), 1, 2
    )


@zero_head.oracle
def _zero_oracle(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    """Without a hook: the head's output matrix is zero for one run."""
    W_O = model.blocks[layer].attn.W_O
    kept = W_O.data[head].clone()
    W_O.data[head] = 0.0
    try:
        return model(tokens)
    finally:
        W_O.data[head] = kept


def _hooked(model: Any, tokens: Tensor, layer: int, name: str, edit: Any) -> Tensor:
    hook = (f"blocks.{layer}.attn.hook_{name}", edit)
    return model.run_with_hooks(tokens, fwd_hooks=[hook])


@zero_head.wrong("nothing was changed: these are the logits of the whole model.")
def hook_without_effect(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return model(tokens)


@zero_head.wrong("you silenced every head of the layer: pick one, on axis 2 of z.")
def whole_layer(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _hooked(model, tokens, layer, "z", lambda z, hook: torch.zeros_like(z))


@zero_head.wrong(
    "you silenced a position instead of a head: z is [batch, pos, head, d_head], heads are axis 2."
)
def position_silenced(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    def edit(z: Tensor, hook: Any) -> Tensor:
        z[:, head] = 0.0
        return z

    return _hooked(model, tokens, layer, "z", edit)


@zero_head.wrong("layer and head are exchanged.")
def wrong_layer(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _zero_oracle(model, tokens, head % model.cfg.n_layers, layer)


@zero_head.wrong(
    "you set the scores to zero before the softmax. The head then attends evenly to every "
    "position, the future included, and still writes; it is not silent."
)
def scores_silenced(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    def edit(scores: Tensor, hook: Any) -> Tensor:
        scores[:, head] = 0.0
        return scores

    return _hooked(model, tokens, layer, "attn_scores", edit)


@zero_head.wrong("these are probabilities: return the logits as they come, without a softmax.")
def probabilities(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    return _zero_oracle(model, tokens, layer, head).softmax(-1)


@zero_head.wrong(
    "the hook stayed on the model after the run (`add_hook` leaves it there), so every later run "
    "would be changed as well. Use run_with_hooks."
)
def hook_left_behind(model: Any, tokens: Tensor, layer: int, head: int) -> Tensor:
    def edit(z: Tensor, hook: Any) -> Tensor:
        z[:, :, head] = 0.0
        return z

    model.add_hook(f"blocks.{layer}.attn.hook_z", edit)
    return model(tokens)


slip(
    zero_head,
    "last_position_only",
    "only the last position is silenced: z[:, :, head] takes every position.",
    ("z[:, :, head]", "z[:, -1, head]"),
)


slip(
    zero_head,
    "first_sequence_silenced",
    "only the first sequence is silenced: the first axis of z is the batch, keep all of it.",
    ("z[:, :, head]", "z[0, :, head]"),
)


slip(
    zero_head,
    "dimension_silenced",
    "you silenced one number of every head: the last axis is d_head. Heads are axis 2.",
    ("z[:, :, head]", "z[..., head]"),
)


slip(
    zero_head,
    "only_that_head_left",
    "you silenced all the others and kept this head.",
    (
        "z[:, :, head] = 0.0",
        "kept = z[:, :, head].clone()\n        z[:] = 0.0\n        z[:, :, head] = kept",
    ),
)


slip(
    zero_head,
    "head_in_every_layer",
    "the head is silenced in every layer: hook the one of `layer` only.",
    (
        "fwd_hooks=[(name, silence)]",
        'fwd_hooks=[(f"blocks.{i}.attn.hook_z", silence) for i in range(model.cfg.n_layers)]',
    ),
)


slip(
    zero_head,
    "mean_for_zero",
    "the head's mean stands there instead of zero. Chapter 03 compares the two; here it is zero.",
    ("z[:, :, head] = 0.0", "z[:, :, head] = z[:, :, head].mean((0, 1))"),
)


slip(
    zero_head,
    "all_but_the_first_position",
    "the head still speaks at position 0. Silence it at every position: z[:, :, head].",
    ("z[:, :, head] = 0.0", "z[:, 1:, head] = 0.0"),
)


slip(
    zero_head,
    "log_probabilities",
    "these are log-probabilities: return the logits as they come.",
    (
        "return model.run_with_hooks(tokens, fwd_hooks=[(name, silence)])",
        "return model.run_with_hooks(tokens, fwd_hooks=[(name, silence)]).log_softmax(-1)",
    ),
)


slip(
    zero_head,
    "values_averaged",
    "the numbers inside the head were averaged instead of set to zero. Put 0 in their place.",
    ("z[:, :, head] = 0.0", "z[:, :, head] = z[:, :, head].mean(-1, keepdim=True)"),
)


slip(
    zero_head,
    "set_to_one",
    "the head's output is set to 1 instead of 0: silence is 0.",
    ("z[:, :, head] = 0.0", "z[:, :, head] = 1.0"),
)


slip(
    zero_head,
    "queries_silenced",
    "the head's queries are set to zero. Its scores are then all alike and it looks "
    "everywhere evenly, but it still speaks: set its z to zero.",
    ('get_act_name("z", layer)', 'get_act_name("q", layer)'),
)


slip(
    zero_head,
    "up_to_the_head_number",
    "all heads up to this one are silenced: a slice where one index belongs. z[:, :, head].",
    ("z[:, :, head] = 0.0", "z[:, :, : head + 1] = 0.0"),
)
