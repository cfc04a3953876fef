"""Exercise `head_write`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.shared import (
    LOOSE,
    as_tokens,
    every_write,
    frozen,
    models_to_try,
    normed_model,
)
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip

head_write = Exercise(
    "head_write",
    difficulty=3,
    importance=4,
    minutes=10,
    hints=[
        "z is what a head has gathered, [batch, pos, head, d_head]. What turns it into a write?",
        "W_O of that head, [d_head, d_model]: model.W_O[layer, head].",
        'cache["z", layer][:, -1, head] @ model.W_O[layer, head] is the write, [1, d_model].',
    ],
    tolerance=LOOSE,
)


@head_write.cases
def _write_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(models_to_try()):
        prompt = random_tokens(1, 5 + seed, seed=seed)
        yield Case(f"head 1.0, {what}", model, prompt, 1, 0)
        yield Case(f"head 0.3, {what}", model, prompt, 0, 3)
    yield Case("a prompt in words", normed_model(), "abcab", 2, 1)


def _head_result(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    """The layer's output minus its output with the head silenced, [pos, d_model]."""
    tokens, seen = as_tokens(model, prompt), []

    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, head] = 0.0
        return z

    def keep(value: Tensor, hook: Any) -> None:
        seen.append(value.clone())

    name = f"blocks.{layer}.hook_attn_out"
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep)])
    edit = (f"blocks.{layer}.attn.hook_z", silence)
    model.run_with_hooks(tokens, fwd_hooks=[edit, (name, keep)])
    return (seen[0] - seen[1])[0]


@head_write.oracle
def _write_oracle(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    return frozen(model, prompt, write)[-1] @ model.W_U


@head_write.wrong("layer and head are exchanged: model.W_O[layer, head].")
def layer_and_head(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _write_oracle(model, prompt, min(head, model.cfg.n_layers - 1), layer)


@head_write.wrong("that is the whole layer; take this head's z and this head's W_O.")
def whole_layer(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = every_write(model, prompt)[f"{layer}_attn_out"]
    return frozen(model, prompt, write)[-1] @ model.W_U


@head_write.wrong(
    "the write was normed by itself, so its length is lost. Keep the scale of the whole run."
)
def normed_alone(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    if not model.cfg.normalization_type:
        return F.layer_norm(write, write.shape[-1:])[-1] @ model.W_U
    return model.ln_final(write)[-1] @ model.W_U


@head_write.wrong("the write is not divided by the final norm's scale.")
def unscaled(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _head_result(model, prompt, layer, head)[-1] @ model.W_U


@head_write.wrong("this is the first position's write; the prediction is at the last.")
def written_at_first(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    return frozen(model, prompt, write)[0] @ model.W_U


@head_write.wrong("this is the sum over all positions; take the last one's write.")
def all_positions(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    write = _head_result(model, prompt, layer, head)
    return frozen(model, prompt, write).sum(0) @ model.W_U


@head_write.wrong(
    "you added b_U. The unembedding's bias is nobody's write; a head adds its own part alone."
)
def with_bias(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _write_oracle(model, prompt, layer, head) + model.b_U


@head_write.wrong("a softmax hides how much the head adds: return what it adds to the logits.")
def soft(model: Any, prompt: str | Tensor, layer: int, head: int) -> Tensor:
    return _write_oracle(model, prompt, layer, head).softmax(-1)


slip(
    head_write,
    "first_position_read",
    "this is the head's z at the first position; what counts is its write at the last.",
    ("[:, -1, head]", "[:, 0, head]"),
)


slip(
    head_write,
    "position_for_head",
    "z is [batch, pos, head, d_head]: position first, then head.",
    ("[:, -1, head]", "[:, head, -1]"),
)


slip(
    head_write,
    "values_for_z",
    "the head's own value at the last position was written. A head writes what it gathers "
    'from all positions: cache["z", layer].',
    ('cache["z", layer][:, -1, head]', 'cache["v", layer][:, -1, head]'),
)


slip(
    head_write,
    "positions_averaged",
    "the writes of all positions were averaged; take the last one's.",
    ('cache["z", layer][:, -1, head]', 'cache["z", layer][:, :, head].mean(1)'),
)


slip(
    head_write,
    "first_heads_W_O",
    "z went through the W_O of head 0. Each head has its own: W_O[layer, head].",
    ("model.W_O[layer, head]", "model.W_O[layer, 0]"),
)


slip(
    head_write,
    "with_the_layers_bias",
    "the layer's bias b_O was added. It is no head's write.",
    (
        'write = cache["z", layer][:, -1, head] @ model.W_O[layer, head]',
        'write = cache["z", layer][:, -1, head] @ model.W_O[layer, head] + model.b_O[layer]',
    ),
)


slip(
    head_write,
    "first_layers_W_O",
    "z went through the W_O of layer 0. Take the layer's own: W_O[layer, head].",
    ("model.W_O[layer, head]", "model.W_O[0, head]"),
)


slip(
    head_write,
    "read_with_W_E",
    "W_E transposed took the place of W_U. The gain of the final norm is folded into W_U.",
    ("@ model.W_U)[0, 0]", "@ model.W_E.T)[0, 0]"),
)


slip(
    head_write,
    "scale_of_the_first_position",
    "the scale is that of the first position: pos_slice=-1, where the write is.",
    ("layer=-1, pos_slice=-1", "layer=-1, pos_slice=0"),
)


slip(
    head_write,
    "vocabulary_centred",
    "the mean over the vocabulary was taken away. Return what the head adds to each logit.",
    (
        "return (cache.apply_ln_to_stack(write[None], layer=-1, pos_slice=-1) @ model.W_U)[0, 0]",
        "logits = (cache.apply_ln_to_stack(write[None], layer=-1, pos_slice=-1) @"
        " model.W_U)[0, 0]\n"
        "    return logits - logits.mean()",
    ),
)


slip(
    head_write,
    "with_the_stream",
    "the stream that enters the layer was added. Asked is the head's own write.",
    (
        'write = cache["z", layer][:, -1, head] @ model.W_O[layer, head]',
        'write = cache["z", layer][:, -1, head] @ model.W_O[layer, head] + cache["resid_pre", '
        "layer][:, -1]",
    ),
)
