"""What each single edge does, exactly: one run for each, from its receiver's layer on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.discovery.edge_runs import Said, head_writes
from circuits_course.circuits.discovery.graph import Edge, Graph, Receiver, Sender
from circuits_course.circuits.patching.metrics import (
    Metric,
    Tokens,
    first_difference,
    require_pair,
)
from circuits_course.circuits.patching.stages import Edit, stages_of
from circuits_course.circuits.patching.tail import Tail, chunks
from circuits_course.data.logit_difference import LogitDifference


@torch.no_grad()
def edge_effects(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
    edges: Iterable[Any] | None = None,
) -> dict[Edge, float]:
    """How the metric of the clean run changes when one edge at a time carries the other value.

    model, clean, corrupted: as for `run_with_edges`, whose `kept` is here all edges but one; with
    corrupted None the edge carries nothing. metric: as for `patch_sweep`; with `metric.each()` the
    changes are tensors [batch]. edges: which to try (default: all). Below 0 where the edge serves
    the metric. On a model without MLPs this is `path_patch` less the clean run's metric, for one
    sender and one receiver; with MLPs path patching also sends along what they make of it.

    Raises CourseError for shapes that do not fit and for edges that the model does not have.
    """
    effects = _Effects(model, clean, corrupted, metric)
    by_receiver: dict[Receiver, list[Sender]] = defaultdict(list)
    wanted = effects.graph.edges if edges is None else [Edge(*edge) for edge in edges]
    for edge in wanted:
        effects.graph.index(edge)
        by_receiver[edge.receiver].append(edge.sender)
    found: dict[Edge, Any] = {}
    for receiver, senders in by_receiver.items():
        changes = effects.into(receiver, senders)
        values: Any = changes.tolist() if changes.ndim == 1 else list(changes)
        found |= {Edge(s, receiver): x for s, x in zip(senders, values, strict=True)}
    return {edge: found[edge] for edge in wanted}


class _Effects:
    """Continuations of the clean run in which one receiver hears one sender say something else."""

    def __init__(self, model: Any, clean: Tokens, corrupted: Tokens | None, metric: Metric) -> None:
        require_pair(model, clean, clean if corrupted is None else corrupted, metric)
        self.graph, self.stages = Graph.of(model), stages_of(model, clean)
        self.base = self.stages.run(clean)
        self.writes = cache(partial(head_writes, self.stages))
        said = Said.in_run(self.stages, clean if corrupted is None else corrupted)
        self.other = Said.nothing(self.stages, said) if corrupted is None else said
        first = 0 if corrupted is None else first_difference(clean, corrupted)
        self.tail = Tail(self.stages, self.base, metric, first)
        self.untouched = self.tail.scores(self.base.resid_final[None])[0]

    def into(self, receiver: Receiver, senders: list[Sender]) -> Tensor:
        """The changes for edges into one receiver: [sender], or [sender, batch]."""
        if self.tail.start >= self.base.resid_final.shape[1]:
            return torch.zeros(len(senders), *self.untouched.shape)
        values = []
        for part in chunks(len(senders), self.tail.runs_at_once()):
            steps = torch.stack([self._step(sender) for sender in senders[part]])
            values.append(self.tail.scores(self._heard(receiver, steps)) - self.untouched)
        return torch.cat(values)

    def _step(self, sender: Sender) -> Float[Tensor, "batch tail d_model"]:
        """The sender's other output less its output in the clean run."""
        if sender == "embed":
            step = self.other.embedded - self.base.resid_pre[0]
        elif sender[1] == "mlp":
            step = self.other.mlp_out[sender[0]] - self.base.mlp_out[sender[0]]
        else:
            layer, head = int(sender[0]), int(sender[1])
            z = self.other.z[layer][:, :, head] - self.base.z[layer][:, :, head]
            step = z @ self.writes(layer)[head]
        return self.tail.of(step)

    def _heard(self, receiver: Receiver, steps: Float[Tensor, "run batch tail d_model"]) -> Tensor:
        """The last residual stream when a receiver's input is off by each of these steps."""
        if isinstance(receiver, str):  # "logits"
            return self.tail.of(self.base.resid_final) + steps
        layer, of = receiver[0], self.tail.of
        resid = of(self.base.resid_pre[layer])
        if receiver[1] == "mlp":
            attn_out = of(self.base.attn_out[layer])
            added = self.stages.mlp_adds(layer, self.stages.mlp_reads(resid, attn_out) + steps)
            resid = resid + attn_out + added
            return self._on(layer + 1, resid)
        letter, head = receiver[2], int(receiver[1])
        qkv = self.stages.qkv(layer, resid + steps, self.tail.start)._asdict()
        resid = resid.expand(len(steps), -1, -1, -1)
        resid = self.tail.through(layer, resid, _hears(letter, head, qkv[letter]))
        return self._on(layer + 1, resid)

    def _on(self, first: int, resid: Tensor) -> Tensor:
        for layer in range(first, self.stages.n_layers):
            resid = self.tail.through(layer, resid)
        return resid


def _hears(letter: str, head: int, heard: Float[Tensor, "run batch tail head d_head"]) -> Edit:
    def edit(name: str, _layer: int, value: Tensor) -> Tensor:
        if name != letter:
            return value
        value = value.clone()
        value[..., head, :] = heard[..., head, :]
        return value

    return edit
