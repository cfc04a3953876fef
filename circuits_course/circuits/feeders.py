"""Whom a head hears: who feeds its queries, keys and values on one prompt, and how much."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.patching.stages import QKV, Run, Stages

TOKENS = "tokens"


class Feeder(NamedTuple):
    """A sender that a head hears, and how much hangs on it.

    letter: the input by which it is heard, "Q", "K" or "V". sender: "tokens", "layer.head" or
    "layer.mlp". share: for "Q" and "K" how much of its attention the head loses without the sender
    there; for "V" the part of its write that goes.
    """

    letter: str
    sender: str
    share: float


class Hearing:
    """Everybody who writes, taken out of one input of a head at a time, the rest as it is.

    run: on one prompt, with resid_pre, pattern, z and mlp_out. instead: what each layer's heads
    say when they are taken out, [1, pos, head, d_head]; for tokens and MLPs that is their mean in
    `theirs`, a run on other prompts, with resid_pre and mlp_out.
    """

    def __init__(
        self,
        stages: Stages,
        run: Run,
        instead: list[Float[Tensor, "1 pos head d_head"]],
        theirs: Run,
    ) -> None:
        self.stages, self.run, self.instead, self.theirs = stages, run, instead, theirs

    @torch.no_grad()
    def feeders(self, head: Head, query: int, key: int) -> list[Feeder]:
        """Every earlier sender for each input of a head, of which one query and key are watched."""
        layer, number = head
        names, said = self._said
        heard = 1 + layer * (self.stages.n_heads + 1)
        resid = self.run.resid_pre[layer]
        whole = self.stages.qkv(layer, resid, 0)
        without = self.stages.qkv(layer, resid - said[:heard], 0)

        def attention(q: Tensor, k: Tensor) -> Float[Tensor, " sender"]:
            return self.stages.pattern(layer, q, k)[:, number, query, key]

        held = attention(whole.q, whole.k)
        lost = {
            "Q": held - attention(without.q, whole.k),
            "K": held - attention(whole.q, without.k),
            "V": self._share_of_write(head, query, whole, without),
        }
        return [
            Feeder(letter, name, float(share))
            for letter, shares in lost.items()
            for name, share in zip(names[:heard], shares, strict=True)
        ]

    def written(
        self, head: Head, z: Float[Tensor, "1 pos head d_head"]
    ) -> Float[Tensor, "1 pos d_model"]:
        """What a head writes beyond what it says when it is taken out."""
        layer, number = head
        alone = torch.zeros_like(z)
        alone[:, :, number] = (z - self.instead[layer])[:, :, number]
        return self._write(layer, alone)

    def _write(self, layer: int, z: Float[Tensor, "run pos head d_head"]) -> Tensor:
        """What a layer's heads add, less its bias."""
        return self.stages.write(layer, z) - self.stages.write(layer, torch.zeros_like(z[:1, :1]))

    @cached_property
    def _said(self) -> tuple[list[str], Float[Tensor, "sender pos d_model"]]:
        """Everybody who writes, in order, and what each writes beyond its mean."""
        stages, run, theirs = self.stages, self.run, self.theirs
        names, said = [TOKENS], [run.resid_pre[0] - theirs.resid_pre[0].mean(0, keepdim=True)]
        for layer in range(stages.n_layers):
            for number in range(stages.n_heads):
                names.append(head_name((layer, number)))
                said.append(self.written((layer, number), run.z[layer]))
            names.append(f"{layer}.mlp")
            said.append(run.mlp_out[layer] - theirs.mlp_out[layer].mean(0, keepdim=True))
        return names, torch.cat(said)

    def _share_of_write(
        self, head: Head, query: int, whole: QKV, without: QKV
    ) -> Float[Tensor, " sender"]:
        """The part of a head's write that goes with a sender's part of the values."""
        layer, number = head
        row = self.run.pattern[layer][0, number, query]
        group = number * whole.v.shape[2] // self.stages.n_heads
        less = torch.einsum("k,skd->sd", row, (whole.v - without.v)[:, :, group])
        z = torch.zeros(len(less), 1, self.stages.n_heads, less.shape[-1])
        z[:, 0, number] = less
        wrote = self.written(head, self.run.z[layer])[0, query]
        return self._write(layer, z)[:, 0] @ wrote / wrote.square().sum().clamp_min(1e-12)
