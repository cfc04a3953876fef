"""What a model does without some of its heads: its activations, for a look at who misses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.padding import require_one_length
from circuits_course.models.transformer import CourseTransformer


@torch.no_grad()
def cache_without(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    heads: Iterable[Head] = (),
    mode: Literal["zero", "mean"] = "zero",
) -> Any:
    """The cached activations on `tokens` while the outputs z of some heads are replaced.

    mode: by zeros, or by the head's own mean over the sequences and positions of this run. For
    other replacements, other prompts and losses see `Ablation`. Raises CourseError for prompts of
    different lengths.
    """
    require_one_length(model, tokens)
    silent = set(heads)

    def replace(z: Tensor, hook: Any) -> Tensor:
        chosen = [head for layer, head in silent if layer == hook.layer()]
        z[:, :, chosen] = z[:, :, chosen].mean((0, 1)) if mode == "mean" else 0.0
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", replace) for layer in {layer for layer, _ in silent}]
    with model.hooks(fwd_hooks=hooks):
        return model.run_with_cache(tokens)[1]


@contextmanager
def mean_ablated(model: Any, heads: Iterable[Head]) -> Iterator[Any]:
    """The model with z of these heads replaced by its mean over all sequences and positions.

    with mean_ablated(model, [(5, 1)]) as without: without(tokens)

    A bridge raises CourseError there for prompts of different lengths.
    """
    gone: dict[int, list[int]] = {}
    for layer, head in heads:
        gone.setdefault(layer, []).append(head)

    def flatten(z: Float[Tensor, "batch pos head d_head"], hook: Any) -> Tensor:
        z = z.clone()
        for head in gone[hook.layer()]:
            z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    def refuse_padding(tokens: Tensor, hook: Any) -> None:
        require_one_length(model, tokens)

    hooks: list[tuple[str, Any]] = [(f"blocks.{layer}.attn.hook_z", flatten) for layer in gone]
    if "embed.hook_in" in model.hook_dict:  # where a bridge sees its tokens
        hooks.append(("embed.hook_in", refuse_padding))
    with model.hooks(fwd_hooks=hooks):
        yield model


@contextmanager
def input_cut(
    model: CourseTransformer, tokens: Int[Tensor, "batch pos"], head: int, letter: str
) -> Iterator[Any]:
    """The model whose layer 1 lacks head 0.`head` in its "q", "k" or "v" input, and only there.

    What the head writes on these tokens is replaced by its mean over sequences and positions.
    """
    _, cache = model.run_with_cache(tokens, names_filter="blocks.0.attn.hook_z")
    z = cache["blocks.0.attn.hook_z"]  # [batch, pos, head, d_head]
    written = z[:, :, head] @ model.W_O[0, head]  # [batch, pos, d_model]
    varying = (written - written.mean((0, 1)))[:, :, None]
    split = model.cfg.use_split_qkv_input
    model.set_use_split_qkv_input(True)
    name = f"blocks.1.attn.hook_{letter}_input"
    try:
        with model.hooks(fwd_hooks=[(name, lambda into, hook: into - varying)]):
            yield model
    finally:
        model.set_use_split_qkv_input(split)
