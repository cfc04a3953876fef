"""What heads of very different models are compared by: relative depth, scores, ablations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.models.transformer import CourseTransformer


class Place(NamedTuple):
    """The strongest head of one behaviour: depth from 0 (first layer) to 1 (last), and score."""

    depth: float
    score: float


def behaviour_scores(
    model: Any, tokens: Int[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "layer head"]]:
    """Every head's score as a previous-token and as an induction head, by chapter 09's ruler.

    The score is the attention to all keys that a head of that kind looks at, key 0 (BOS) excepted,
    averaged over the queries that have such a key.
    """
    same = tokens[:, :, None] == tokens[:, None, :]
    after_same = torch.zeros_like(same)
    after_same[:, :, 2:] = same[:, :, 1:-1]
    back_one = torch.ones_like(same).tril(-1) & ~torch.ones_like(same).tril(-2)
    back_one[:, :, 0] = False
    masks = {"previous token": back_one, "induction": after_same.tril()}
    scores = {kind: torch.zeros(model.cfg.n_layers, model.cfg.n_heads) for kind in masks}

    def score(pattern: Float[Tensor, "batch head q k"], hook: Any) -> None:
        for kind, mask in masks.items():
            on_target = (pattern * mask[:, None]).sum(-1).transpose(1, 2)  # [batch, q, head]
            scores[kind][hook.layer()] = on_target[mask.any(-1)].mean(0)

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    model.run_with_hooks(tokens, return_type=None, fwd_hooks=[(name, score) for name in names])
    return scores


@contextmanager
def mean_ablated(model: Any, heads: Iterable[Head]) -> Iterator[Any]:
    """The model with z of these heads replaced by its mean over all sequences and positions.

    with mean_ablated(model, [(5, 1)]) as without: without(tokens)
    """
    gone: dict[int, list[int]] = {}
    for layer, head in heads:
        gone.setdefault(layer, []).append(head)

    def flatten(z: Float[Tensor, "batch pos head d_head"], hook: Any) -> Tensor:
        z = z.clone()
        for head in gone[hook.layer()]:
            z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", flatten) for layer in gone]
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
