"""What the next token costs, token by token, in the whole model and without some of its heads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head, require_heads
from circuits_course.circuits.padding import require_one_length
from circuits_course.circuits.patching.stages import Stages, stages_of
from circuits_course.circuits.patching.tail import chunks
from circuits_course.circuits.silencing import silenced
from circuits_course.errors import CourseError
from circuits_course.models.packed import packed, packed_linear

Tokens = Int[Tensor, "batch pos"]
Places = Bool[Tensor, "batch pos-1"]
Sets = Iterable[Iterable[Head]]

COLUMNS = 4096  # of the vocabulary at a time: the logits of all would not fit the processor's cache


def mean_losses(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Tokens, first: int = 1
) -> Float[Tensor, " batch"]:
    """Each sequence's mean loss in nats on the tokens at position `first` and after it."""
    log_probs = logits[:, first - 1 : -1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, first:, None])[..., 0].mean(-1)


def losses_without(
    model: Any,
    tokens: Tokens,
    heads: Iterable[Head] = (),
    mode: Literal["zero", "mean"] = "mean",
) -> Float[Tensor, "batch pos-1"]:
    """The loss on each token, nats, while the outputs z of some heads (layer, head) are replaced.

    mode: as in `knock_out_hooks`. Entry i is about tokens[:, i + 1]. Raises CourseError for heads
    that are not there and for prompts of different lengths.
    """
    return losses_without_each(model, tokens, [heads], mode)[0]


def added_losses(
    model: Any,
    tokens: Tokens,
    sets: Sets,
    mode: Literal["zero", "mean"] = "mean",
    where: Places | None = None,
) -> Float[Tensor, "set batch pos-1"]:
    """How much loss (nats) on each token the knock-out of each set of heads adds.

    mode, where: as in `losses_without_each`, which runs what the sets share once for all of them.
    """
    whole, *without = losses_without_each(model, tokens, [(), *sets], mode, where)
    return torch.stack([losses - whole for losses in without])


@torch.no_grad()
def losses_without_each(
    model: Any,
    tokens: Tokens,
    sets: Sets,
    mode: Literal["zero", "mean"] = "mean",
    where: Places | None = None,
) -> Float[Tensor, "set batch pos-1"]:
    """The loss on each token, nats, without each set of heads (layer, head).

    mode: as in `knock_out_hooks`. where: the places that are asked for, the others come as NaN;
    entry i is about tokens[:, i + 1]. Sets that begin with the same heads are run together up to
    the layer where they part, and what no asked place can see any more is not run at all. Raises
    CourseError for heads that are not there, for prompts of different lengths, and where nothing is
    asked for.
    """
    require_one_length(model, tokens)
    chosen = [frozenset(heads) for heads in sets]
    stages = stages_of(model, tokens)
    require_heads(frozenset[Head]().union(*chosen), stages.n_layers, stages.n_heads)
    where = torch.ones_like(tokens[:, 1:], dtype=torch.bool) if where is None else where
    if not where.any():
        raise CourseError("No loss is asked for: `where` is False everywhere.")
    branches = _Branches(stages, tokens, mode, where, len(chosen))
    with packed():
        branches.follow(0, stages.embed(tokens), dict(enumerate(chosen)))
    return branches.losses


class _Branches:
    """Runs of one batch without some sets of heads, together up to the layer where they part."""

    def __init__(
        self, stages: Stages, tokens: Tokens, mode: str, where: Places, n_sets: int
    ) -> None:
        W_U, b_U = stages.unembedding()
        self.stages, self.mode, self.where = stages, mode, where.to(W_U.device)
        self.targets = tokens[:, 1:].to(W_U.device)[self.where]
        columns = chunks(W_U.shape[1], COLUMNS)
        self.says = [packed_linear(W_U.T[some], b_U[some]) for some in columns]
        self.losses = W_U.new_full((n_sets, *where.shape), torch.nan)

    def follow(self, layer: int, resid: Tensor, sets: dict[int, frozenset[Head]]) -> None:
        """Runs `layer` and those above it on what enters it, for sets that agree below it."""
        ahead = {head for heads in sets.values() for head in heads if head[0] >= layer}
        if self.mode == "zero" or not ahead:  # no mean is taken over the other places any more
            resid = self._needed(resid)
        if layer == self.stages.n_layers:
            found = self._losses(resid)
            for index in sets:
                self.losses[index][self.where] = found
            return
        here = {i: frozenset(h for h in heads if h[0] == layer) for i, heads in sets.items()}
        for gone in dict.fromkeys(here.values()):
            alike = {i: heads for i, heads in sets.items() if here[i] == gone}
            self.follow(layer + 1, self._through(layer, resid, gone), alike)

    def _through(self, layer: int, resid: Tensor, gone: frozenset[Head]) -> Tensor:
        edit = partial(_silence, heads=[head for _, head in gone], mode=self.mode)
        states = self.stages.one_layer(layer, resid, edit)
        return states["resid_pre"] + states["attn_out"] + states["mlp_out"]

    def _needed(self, resid: Float[Tensor, "batch pos d_model"]) -> Tensor:
        """The rows that hold a place asked for, up to the last such position; once or again."""
        asked, end = self.where.any(1), int(self.where.any(0).nonzero().max()) + 1
        return (resid[asked] if len(resid) == len(asked) else resid)[:, :end]

    def _losses(self, resid: Float[Tensor, "row end d_model"]) -> Float[Tensor, " place"]:
        places = self.where[self.where.any(1)][:, : resid.shape[1]]
        x = self.stages.normed(resid[places])
        W_U, b_U = self.stages.unembedding()
        said = (x * W_U.T[self.targets]).sum(-1) + b_U[self.targets]
        return torch.stack([says(x).logsumexp(-1) for says in self.says]).logsumexp(0) - said


def _silence(name: str, _layer: int, value: Tensor, *, heads: list[int], mode: str) -> Tensor:
    return silenced(value, heads, mode) if name == "z" and heads else value
