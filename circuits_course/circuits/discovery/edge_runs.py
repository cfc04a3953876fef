"""Runs of a model in which each edge carries one of two things: the present value, or another.

What a receiver reads is the other run's residual stream, plus, for each kept edge, how far its
sender's present output is from its output in the other run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits_course.circuits.discovery.graph import Graph
from circuits_course.circuits.padding import require_read_at_words, require_same_lengths
from circuits_course.circuits.patching.attribution import score_of
from circuits_course.circuits.patching.metrics import (
    Metric,
    Tokens,
    require_same_shape,
)
from circuits_course.circuits.patching.stages import Stages, mix, stages_of
from circuits_course.data.logit_difference import LogitDifference


@torch.no_grad()
def run_with_edges(
    model: Any, clean: Tokens, corrupted: Tokens | None, kept: Iterable[Any]
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits when only some edges carry what their senders say now.

    model: a CourseTransformer or a bridge. clean, corrupted: tokens [batch, pos] of one shape.
    kept: edges, as from `edges_of`; each carries its sender's present output, computed from what
    the sender itself hears. Every other edge carries the sender's output in the corrupted run, or
    nothing at all where corrupted is None. All edges kept give the clean run, none the corrupted.

    Raises CourseError for shapes that do not fit and for edges that the model does not have.
    """
    return EdgeRuns(model, clean, corrupted).logits(kept)


@dataclass(frozen=True)
class Said:
    """What senders say in one run, and what receivers hear there, a list entry per layer.

    embedded, resid, before_mlp, mlp_out, final: [batch, pos, d_model]; z: [batch, pos, head,
    d_head].
    """

    embedded: Tensor
    resid: list[Tensor]
    z: list[Tensor]
    before_mlp: list[Tensor]
    mlp_out: list[Tensor]
    final: Tensor

    @classmethod
    def in_run(cls, stages: Stages, tokens: Tokens) -> Said:
        run = stages.run(tokens, keep=("resid_pre", "z", "attn_out", "mlp_out"))
        before_mlp = list(map(stages.mlp_reads, run.resid_pre, run.attn_out))
        return cls(run.resid_pre[0], run.resid_pre, run.z, before_mlp, run.mlp_out, run.resid_final)

    @classmethod
    def nothing(cls, stages: Stages, like: Said) -> Said:
        """Every sender silent: what is left are the biases that no sender says."""
        silent = torch.zeros_like(like.embedded)
        z = [torch.zeros_like(layer) for layer in like.z]
        resid, before_mlp, stream = [], [], silent
        for layer in range(stages.n_layers):
            bias = stages.write(layer, z[layer])
            resid.append(stream)
            before_mlp.append(stages.mlp_reads(stream, bias))
            stream = stream + bias
        return cls(silent, resid, z, before_mlp, [silent] * stages.n_layers, stream)


def head_writes(stages: Stages, layer: int) -> Float[Tensor, "head d_head d_model"]:
    """What each head's z is multiplied by before it is added: W_O, biases left out."""
    W_U, _ = stages.unembedding()
    size = stages.n_heads, stages.d_head
    one_hot = torch.eye(size[0] * size[1], dtype=W_U.dtype, device=W_U.device).unflatten(-1, size)
    written = stages.write(layer, one_hot) - stages.write(layer, torch.zeros_like(one_hot[:1]))
    return written.unflatten(0, size)


class EdgeRuns:
    """Runs of one model on one pair of batches with some edges kept.

    Raises CourseError where the two batches are not of one shape.
    """

    @torch.no_grad()
    def __init__(self, model: Any, clean: Tokens, corrupted: Tokens | None) -> None:
        require_same_shape(clean, clean if corrupted is None else corrupted)
        require_same_lengths(model, clean, clean if corrupted is None else corrupted)
        self.model, self.clean = model, clean
        self.graph, self.stages = Graph.of(model), stages_of(model, clean)
        present = Said.in_run(self.stages, clean if corrupted is None else corrupted)
        self.other = Said.nothing(self.stages, present) if corrupted is None else present
        self.step = self.stages.embed(clean) - self.other.embedded
        self.W_O = [head_writes(self.stages, layer) for layer in range(self.stages.n_layers)]

    def logits(self, kept: Iterable[Any]) -> Float[Tensor, "batch pos d_vocab"]:
        return self.stages.logits(self.resid_final(self.graph.mask(kept)))

    def score(self, kept: Iterable[Any], metric: Metric | LogitDifference) -> Tensor:
        """The metric with these edges kept; of `LogitDifference.each()`, one for each prompt."""
        return self.score_of_mask(self.graph.mask(kept), metric)

    @torch.no_grad()
    def score_of_mask(
        self, mask: Bool[Tensor, "receiver sender"], metric: Metric | LogitDifference
    ) -> Tensor:
        require_read_at_words(self.model, self.clean, metric)
        return score_of(self.stages, self.resid_final(mask), metric)

    @torch.no_grad()
    def resid_final(
        self, mask: Bool[Tensor, "receiver sender"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """The last residual stream, as the logits hear it."""
        graph, stages, other = self.graph, self.stages, self.other
        kept = mask.to(self.step)
        moved = self.step.new_empty(len(graph.senders), *self.step.shape)
        moved[0], n = self.step, 1
        for layer in range(stages.n_layers):
            heard = other.resid[layer] + _sum(kept[graph.within_layer(layer)], moved[:n])
            z = self._attend(layer, heard)
            writes = torch.einsum("bphd,hdm->hbpm", z - other.z[layer], self.W_O[layer])
            moved[n : n + stages.n_heads] = writes
            row = graph.receiver_index.get((layer, "mlp"))
            n += stages.n_heads
            if row is not None:
                heard = other.before_mlp[layer] + _sum(kept[row], moved[: graph.heard[row]])
                moved[n] = stages.mlp_adds(layer, heard) - other.mlp_out[layer]
                n += 1
        return other.final + _sum(kept[-1], moved)

    def _attend(self, layer: int, heard: Float[Tensor, "receiver batch pos d_model"]) -> Tensor:
        """z of a layer whose heads' queries, keys and values each hear their own stream."""
        sizes = self.graph.n_heads, self.graph.n_kv_heads, self.graph.n_kv_heads
        inputs = heard.movedim(0, -2).split(sizes, dim=-2)
        q, k, v = self.stages.split_qkv(layer, *inputs)
        return mix(self.stages.pattern(layer, q, k), v)


def _sum(
    kept: Float[Tensor, "*receiver sender"], moved: Float[Tensor, "sender batch pos d_model"]
) -> Float[Tensor, "*receiver batch pos d_model"]:
    """What receivers hear of these senders, over kept edges."""
    return (kept[..., : len(moved)] @ moved.flatten(1)).unflatten(-1, moved.shape[1:])
