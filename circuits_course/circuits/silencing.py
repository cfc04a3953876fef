"""A model without some of its heads, to look at whatever is left: hooks replace their outputs z.

The mean that stands in is over all sequences and positions of the same run, which asks for prompts
of one length. For what a metric or the logits lose, with means at each position, over other prompts
or from another prompt, see `Ablation`, which runs only the layers that change; for the losses of
many sets of heads `added_losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head, last_logits_hooks
from circuits_course.circuits.padding import require_one_length
from circuits_course.models.transformer import CourseTransformer


def knock_out_hooks(
    heads: Iterable[Head], mode: Literal["zero", "mean"] = "mean"
) -> list[tuple[str, Any]]:
    """Hooks for `model.hooks(fwd_hooks=...)` that replace the outputs z of some heads.

    mode: "zero" puts zeros there; "mean" puts the head's own mean over all sequences and positions
    of the run there. On prompts of one length: a hook does not see which positions are padding.
    """
    return [
        (f"blocks.{layer}.attn.hook_z", partial(_replace, head=head, mode=mode))
        for layer, head in heads
    ]


def _replace(z: Tensor, hook: Any, head: int, mode: str) -> Tensor:
    return silenced(z, [head], mode)


def silenced(
    z: Float[Tensor, "batch pos head d_head"], heads: Sequence[int], mode: str
) -> Float[Tensor, "batch pos head d_head"]:
    """A layer's z with some of its heads replaced; mode as in `knock_out_hooks`."""
    z = z.clone()
    for head in heads:
        z[:, :, head] = z[:, :, head].mean((0, 1)) if mode == "mean" else 0.0
    return z


@torch.no_grad()
def cache_without(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    heads: Iterable[Head] = (),
    mode: Literal["zero", "mean"] = "zero",
    names_filter: Callable[[str], bool] | None = None,
) -> Any:
    """The cached activations on `tokens` while the outputs z of some heads are replaced.

    mode: as in `knock_out_hooks`. names_filter: which activations are kept, all by default; with it
    no logits are made but those of the last position. Raises CourseError for prompts of different
    lengths.
    """
    require_one_length(model, tokens)
    hooks = knock_out_hooks(heads, mode)
    if names_filter is not None:
        hooks += last_logits_hooks(model)
    with model.hooks(fwd_hooks=hooks):
        return model.run_with_cache(tokens, return_type=None, names_filter=names_filter)[1]


@contextmanager
def mean_ablated(model: Any, heads: Iterable[Head]) -> Iterator[Any]:
    """The model with z of these heads replaced by its mean over all sequences and positions.

    with mean_ablated(model, [(5, 1)]) as without: without(tokens)

    A bridge raises CourseError there for prompts of different lengths.
    """

    def refuse_padding(tokens: Tensor, hook: Any) -> None:
        require_one_length(model, tokens)

    hooks = knock_out_hooks(heads)
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
