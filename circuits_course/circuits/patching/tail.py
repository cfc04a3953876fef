"""Continuations of a run from one layer and one position on, many at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.patching.metrics import Metric
from circuits_course.circuits.patching.stages import (
    NUMBERS,
    Edit,
    Run,
    Stages,
    causal_softmax,
    unedited,
)
from circuits_course.data.logit_difference import LogitDifference


class Tail:
    """Runs that equal a base run before position `first`, and are computed from there on.

    Keys and values before `first` are the base run's. In the last layer only the positions that the
    metric reads are computed.
    """

    def __init__(self, stages: Stages, base: Run, metric: Metric, first: int = 0) -> None:
        self.stages, self.base, self.metric = stages, base, metric
        self.n_pos = base.resid_final.shape[1]
        self.start = first if stages.local_keys else 0
        self.last_read = self._last_read()

    def _last_read(self) -> slice:
        if not isinstance(self.metric, LogitDifference):
            return slice(None)
        positions = self.metric.positions(self.n_pos) - self.start
        return slice(max(int(positions.min()), 0), None)

    def of(self, states: Float[Tensor, "batch pos *rest"]) -> Float[Tensor, "batch tail *rest"]:
        """The tail of what a whole run left behind."""
        return states[:, self.start :]

    def wanted(self, layer: int) -> slice:
        """Of the tail, the positions that a layer has to compute."""
        return self.last_read if layer == self.stages.n_layers - 1 else slice(None)

    def runs_at_once(self) -> int:
        """How many runs make a batch of a good size."""
        return max(1, NUMBERS // self.of(self.base.resid_final).numel())

    def through(
        self, layer: int, resid: Float[Tensor, "run batch tail d_model"], edit: Edit = unedited
    ) -> Float[Tensor, "run batch tail d_model"]:
        """A layer on runs that differ from the base. edit: may change their q, k, v and z."""
        qkv = self.stages.qkv(layer, resid, self.start)
        q, k, v = (edit(name, layer, x) for name, x in zip("qkv", qkv, strict=True))
        wanted = self.wanted(layer)
        z = self._attend(layer, q[:, :, wanted], k, v)
        z = edit("z", layer, z)
        return self.rest(layer, resid[:, :, wanted], self.stages.write(layer, z))

    def _attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mixing for the tail's queries; keys and values before it are shared by all runs."""
        before_k, before_v = (x[layer][:, : self.start] for x in (self.base.k, self.base.v))
        n_kv, k = k.shape[-2], self.stages.keys(layer, k)
        grouped = q.unflatten(-2, (n_kv, -1))  # [run, batch, query, kv, group, d_head]
        early = torch.einsum("rbqkgd,bpkd->rbkgqp", grouped, before_k)
        late = torch.einsum("rbqkgd,rbpkd->rbkgqp", grouped, k)
        pattern = causal_softmax(torch.cat([early, late], dim=-1) / self.stages.scale)
        early, late = pattern.split([self.start, k.shape[2]], dim=-1)
        z = torch.einsum("rbkgqp,bpkd->rbqkgd", early, before_v)
        z = z + torch.einsum("rbkgqp,rbpkd->rbqkgd", late, v)
        return z.flatten(-3, -2)

    def rest(self, layer: int, resid: Tensor, attn_out: Tensor) -> Tensor:
        """What follows attention in a layer."""
        added = self.stages.mlp_adds(layer, self.stages.mlp_reads(resid, attn_out))
        return resid + attn_out + added

    def whole(
        self, resid: Float[Tensor, "batch end d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """Final residual streams of all positions, those before the end being the base run's."""
        return torch.cat([self.base.resid_final[:, : self.n_pos - resid.shape[1]], resid], dim=1)

    def scores(self, resid: Float[Tensor, "run batch end d_model"]) -> Float[Tensor, " run"]:
        """The metric of final residual streams, whose last positions `end` are computed."""
        if isinstance(self.metric, LogitDifference):
            read = self._read(self.metric, resid, self.n_pos - resid.shape[2])
            return self.metric.of_columns(self.stages.columns(read, self.metric.columns))
        return torch.stack([self._call(row) for row in resid])

    def _read(self, metric: LogitDifference, resid: Tensor, start: int) -> Tensor:
        """The residual stream where each prompt is read: [run, batch, d_model]."""
        positions = metric.positions(self.n_pos) - start
        known, batch = positions >= 0, torch.arange(len(positions))
        read = resid[:, batch, positions.clamp(min=0)]
        read[:, ~known] = self.base.resid_final[batch, positions + start][~known]
        return read

    def _call(self, resid: Float[Tensor, "batch end d_model"]) -> Tensor:
        return torch.as_tensor(self.metric(self.stages.logits(self.whole(resid))))


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(count)."""
    yield from (slice(start, min(start + size, count)) for start in range(0, count, size))
