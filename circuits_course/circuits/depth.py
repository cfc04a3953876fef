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


def strongest_by_step(model: Any, tokens: Int[Tensor, "batch pos"]) -> dict[str, float]:
    """The strongest previous-token and the strongest induction score of any head.

    Scores are those of chapter 09: attention to all keys that a head of that kind looks at, key 0
    (BOS) excepted, averaged over the queries that have such a key.
    """
    same = tokens[:, :, None] == tokens[:, None, :]
    after_same = torch.zeros_like(same)
    after_same[:, :, 2:] = same[:, :, 1:-1]
    back_one = torch.ones_like(same).tril(-1) & ~torch.ones_like(same).tril(-2)
    back_one[:, :, 0] = False
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: "pattern" in name)
    pattern = cache.stack_activation("pattern")  # [layer, batch, head, q, k]
    scores = {}
    for kind, mask in (("previous token", back_one), ("induction", after_same.tril())):
        on_target = (pattern * mask[:, None]).sum(-1).movedim(2, -1)  # [layer, batch, q, head]
        scores[kind] = on_target[:, mask.any(-1)].mean(1).max().item()
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
    written = cache["z", 0][:, :, head] @ model.W_O[0, head]  # [batch, pos, d_model]
    varying = (written - written.mean((0, 1)))[:, :, None]
    split = model.cfg.use_split_qkv_input
    model.set_use_split_qkv_input(True)
    name = f"blocks.1.attn.hook_{letter}_input"
    try:
        with model.hooks(fwd_hooks=[(name, lambda into, hook: into - varying)]):
            yield model
    finally:
        model.set_use_split_qkv_input(split)
