"""Exercise `ablate_heads`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance, same
from circuits_course.checking.declaring import Case
from circuits_course.checks.c04_induction_heads.shared import Heads
from circuits_course.checks.inputs import random_model, random_tokens

ablate_heads = Exercise(
    "ablate_heads",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "In chapter 00 you silenced one head with a hook on z, [batch, pos, head, d_head]. What "
        "has to be different for a list of heads, in several layers?",
        "One hook for each layer is enough, if it knows its layer: hook.name tells. The mean of a "
        "head is over all sequences and positions, the first two axes; d_head stays.",
        'z[:, :, head] = z[:, :, head].mean((0, 1)) if mode == "mean" else 0.0',
    ],
    tolerance=Tolerance(atol=1e-3, rtol=1e-3),
)


@ablate_heads.cases
def _ablate_cases() -> Iterator[Case]:
    model, square = random_model(), random_model(3, 3, seed=5)
    tokens = random_tokens(4, 6, seed=1)
    yield Case("one head of the last layer set to zero", model, tokens, [(2, 3)], "zero")
    yield Case("one head of the last layer set to its mean", model, tokens, [(2, 1)], "mean")
    yield Case("two heads of one layer", model, random_tokens(3, 7, seed=2), [(1, 0), (1, 2)],
               "mean")  # fmt: skip
    yield Case("heads in three layers", model, tokens, [(2, 0), (0, 3), (1, 1)], "zero")
    yield Case("heads in three layers", model, tokens, [(0, 1), (1, 3), (2, 2)], "mean")
    yield Case("as many heads as layers and sequences", square, random_tokens(3, 3, seed=3),
               [(0, 2), (1, 0)], "zero")  # fmt: skip
    yield Case("no heads at all", model, tokens, [], "zero")


@ablate_heads.oracle
def _ablate_oracle(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode)


Mean = Callable[[Tensor], Tensor]


def _overall(z: Tensor) -> Tensor:
    """Mean of z [batch, pos, d_head] over sequences and positions."""
    return z.mean((0, 1))


def _by_position(z: Tensor) -> Tensor:
    return z.mean(0)


def _replaced(
    model: Any, tokens: Tensor, heads: Heads, mode: str, mean: Mean = _overall, clean: bool = False
) -> Tensor:
    """Ablation without hooks on the way: layer by layer, from the weights.

    clean: means are those of the untouched run, instead of this one's.
    """
    _, cache = model.run_with_cache(tokens)
    resid, positions = cache["embed"], model.W_pos[: tokens.shape[1]]
    for layer, block in enumerate(model.blocks):
        z, untouched = _gathered(block, resid, positions), cache["z", layer]
        for head in (head for other, head in heads if other == layer):
            source = untouched if clean else z
            new = torch.tensor(0.0) if mode == "zero" else mean(source[:, :, head].clone())
            z[:, :, head] = new
        resid = resid + torch.einsum("bphd,hdm->bpm", z, block.attn.W_O)
    return resid @ model.W_U


def _gathered(block: Any, resid: Tensor, positions: Tensor) -> Tensor:
    """z [batch, pos, head, d_head] of an attention-only block without norm."""
    attn = block.attn
    q, k = (torch.einsum("bpm,hmd->bphd", resid + positions, W) for W in (attn.W_Q, attn.W_K))
    v = torch.einsum("bpm,hmd->bphd", resid, attn.W_V)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / attn.cfg.attn_scale
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    return torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(future, -torch.inf).softmax(-1), v)


@ablate_heads.observe
def _ablation_meant(output: Tensor, model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    """Means by position, and means of the untouched run, are ablations as good as the docstring's:
    who gives one of them is taken to have given the other."""
    if mode == "mean":
        for mean, clean in product((_overall, _by_position), (False, True)):
            other = _replaced(model, tokens, heads, mode, mean, clean)
            if same(output, other, ablate_heads.tolerance):
                return _replaced(model, tokens, heads, mode)
    return output


def _hooked(model: Any, tokens: Tensor, edits: list[tuple[str, Callable]]) -> Tensor:
    return model.run_with_hooks(tokens, fwd_hooks=edits)


@ablate_heads.wrong("nothing was changed: these are the logits of the whole model.")
def without_effect(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return model(tokens)


@ablate_heads.wrong("the heads are set to zero whatever `mode` says.")
def always_zero(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, "zero")


@ablate_heads.wrong("the heads are set to their mean whatever `mode` says.")
def always_mean(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, "mean")


@ablate_heads.wrong(
    "the mean is over d_head, the last axis. It should be one vector of d_head numbers: average "
    "over sequences and positions, the first two axes."
)
def mean_over_d_head(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode, lambda z: z.mean(-1, keepdim=True))


@ablate_heads.wrong(
    "each sequence keeps its own mean over positions, and with it most of what it knows. Average "
    "over the sequences as well."
)
def mean_within_sequence(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode, lambda z: z.mean(1, keepdim=True))


@ablate_heads.wrong("one number stands for the whole head: the mean is a vector of d_head numbers.")
def one_number(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode, lambda z: z.mean())


@ablate_heads.wrong("the pairs are (layer, head); you read them as (head, layer).")
def head_as_layer(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    return _replaced(model, tokens, [(j % n_layers, i % n_heads) for i, j in heads], mode)


@ablate_heads.wrong("whole layers are ablated: pick the heads, on axis 2 of z.")
def whole_layers(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    layers = {layer for layer, _ in heads}
    every = [(layer, head) for layer in layers for head in range(model.cfg.n_heads)]
    return _replaced(model, tokens, every, mode)


@ablate_heads.wrong(
    "positions are ablated instead of heads: z is [batch, pos, head, d_head], heads are axis 2."
)
def positions_ablated(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    def edit(head: int) -> Callable:
        def hook(z: Tensor, hook: Any) -> Tensor:
            z[:, head] = 0.0 if mode == "zero" else z[:, head].mean((0, 1))
            return z

        return hook

    return _hooked(model, tokens, [(f"blocks.{i}.attn.hook_z", edit(j)) for i, j in heads])


@ablate_heads.wrong("the heads are ablated at the last position only: all positions are meant.")
def last_position_only(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    def edit(head: int) -> Callable:
        def hook(z: Tensor, hook: Any) -> Tensor:
            z[:, -1, head] = 0.0 if mode == "zero" else z[:, :, head].mean((0, 1))
            return z

        return hook

    return _hooked(model, tokens, [(f"blocks.{i}.attn.hook_z", edit(j)) for i, j in heads])


@ablate_heads.wrong("only the first head of the list is ablated.")
def first_head_only(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads[:1], mode)


@ablate_heads.wrong(
    "every hook uses the last head of the list: a function made in a loop sees the loop's variable "
    "as it is when it runs. Give it the value as a default argument, or use one function that "
    "knows its layer."
)
def late_binding(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, [(layer, heads[-1][1]) for layer, _ in heads], mode)


@ablate_heads.wrong("these are probabilities: return the logits as they come, without a softmax.")
def probabilities(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    return _replaced(model, tokens, heads, mode).softmax(-1)


@ablate_heads.wrong(
    "the hook stayed on the model after the run, so every later run would be changed as well. Use "
    "run_with_hooks, which takes it off again."
)
def hooks_left_behind(model: Any, tokens: Tensor, heads: Heads, mode: str) -> Tensor:
    for layer, head in heads:

        def hook(z: Tensor, hook: Any, head: int = head) -> Tensor:
            z[:, :, head] = 0.0 if mode == "zero" else z[:, :, head].mean((0, 1))
            return z

        model.add_hook(f"blocks.{layer}.attn.hook_z", hook)
    return model(tokens)
