"""A model on the bench: what becomes of its predictions when heads are ablated or paths patched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching import Ablation, path_patch, path_patch_sweep
from circuits_course.circuits.patching.ablation import Mode

Receiver = tuple[int, int, str] | str


def divergence(
    logits: Float[Tensor, "batch pos d_vocab"], other: Float[Tensor, "batch pos d_vocab"]
) -> float:
    """Mean KL divergence of `other` from `logits` over all positions, in nats."""
    p, q = logits.log_softmax(-1), other.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean().item()


def all_heads(model: Any) -> frozenset[Head]:
    return frozenset(
        (layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)
    )


class Bench:
    """Runs of one model on one batch with all but some heads ablated; each is run once."""

    def __init__(self, model: Any, tokens: Int[Tensor, "batch pos"], mode: Mode = "mean") -> None:
        self.heads, self.tokens, self.mode = all_heads(model), tokens, mode
        self._ablation = Ablation(model, tokens, mode)
        self._logits: dict[frozenset[Head], Tensor] = {}
        self.scale = self._divergence(self.heads, ())

    def logits(self, kept: Iterable[Head]) -> Float[Tensor, "batch pos d_vocab"]:
        """Logits with every head ablated but the kept ones."""
        kept = frozenset(kept)
        if kept not in self._logits:
            self._logits[kept] = self._ablation.logits(self.heads - kept)
        return self._logits[kept]

    def distance(self, kept: Iterable[Head], other: Iterable[Head]) -> float:
        """Between the predictions with one set of heads and with another, as a share of what
        ablating every head does: 0 is the same, 1 as far as from the model to nothing."""
        return self._divergence(kept, other) / self.scale

    def _divergence(self, kept: Iterable[Head], other: Iterable[Head]) -> float:
        return divergence(self.logits(kept), self.logits(other))


class Paths:
    """How far predictions move when one receiver hears what one sender says on another prompt.

    The other prompt of a row is the row before. Effects are shares of the divergence between the
    two prompts' predictions. All senders into one receiver are patched at once, and once.
    """

    def __init__(self, model: Any, tokens: Int[Tensor, "batch pos"]) -> None:
        self._model, self._tokens, self._other = model, tokens, tokens.roll(1, 0)
        self._logits = model(tokens)
        self._scale = divergence(self._logits, self._logits.roll(1, 0))
        self._swept: dict[Receiver, Tensor] = {}

    def effect(self, sender: Head, receiver: Receiver) -> float:
        """Of the path from a head to ("layer", "head", "q" | "k" | "v") or "logits"."""
        if receiver not in self._swept:
            self._swept[receiver] = self._sweep(receiver)
        return self._swept[receiver][sender].item()

    def single_effect(self, sender: Head, receiver: Receiver) -> float:
        """`effect`, without the other senders: quicker where only one is asked for."""
        moved = path_patch(self._model, self._tokens, self._other, sender, receiver, self._moved)
        return float(moved)

    def silent_effect(self, sender: Head, receiver: Receiver) -> float:
        """The same, where the receiver hears nothing of the sender: shows what is always said."""
        silent = silence_path(self._model, self._tokens, sender, receiver)
        return divergence(self._logits, silent) / self._scale

    def _sweep(self, receiver: Receiver) -> Float[Tensor, "layer head"]:
        return path_patch_sweep(self._model, self._tokens, self._other, receiver, self._moved)

    def _moved(self, new: Float[Tensor, "batch pos d_vocab"]) -> Tensor:
        return torch.tensor(divergence(self._logits, new) / self._scale)


def silence_path(
    model: Any, tokens: Int[Tensor, "batch pos"], sender: Head, receiver: Receiver
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits where one receiver hears nothing of what one sender writes, and all else is as ever.

    receiver: (layer, head, "q" | "k" | "v") of a later layer, or "logits". For models without norm
    and MLP, in which a path can be taken out by taking away what was written.
    """
    layer, head = sender
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: "hook_z" in name)
    written = cache["z", layer][:, :, head] @ model.W_O[layer, head]
    if isinstance(receiver, str):  # "logits"
        return model(tokens) - written @ model.W_U
    where, reader, letter = receiver

    def without(into: Float[Tensor, "batch pos head d_model"], hook: Any) -> Tensor:
        into = into.clone()
        into[:, :, reader] -= written
        return into

    name = f"blocks.{where}.attn.hook_{letter}_input"
    model.set_use_split_qkv_input(True)
    try:
        return model.run_with_hooks(tokens, fwd_hooks=[(name, without)])
    finally:
        model.set_use_split_qkv_input(False)
