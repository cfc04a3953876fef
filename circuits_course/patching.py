"""Activation patching, fast: sweeps that do only the work that a patch makes necessary.

A patch at layer L and position p leaves everything before L and before p as it was. So a sweep
starts every patched run at its layer, from the first position that can change, runs many patches
as one batch, and in the last layer computes only the positions the metric reads. Results equal
those of `transformer_lens.patching`, which runs the whole model once for every patch.

Denoising puts clean activations into the corrupted run, noising the reverse (Heimersheim and Nanda
2024, arXiv 2404.15255).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.errors import CourseError, UnknownName
from circuits_course.stages import Stages, causal_softmax, chunks, mix, stages_of

Tokens = Int[Tensor, "batch pos"]
Metric = Callable[[Tensor], Tensor]

COMPONENTS = ("z", "pattern", "q", "k", "v", "resid_pre", "attn_out", "mlp_out")
PER_HEAD = ("z", "pattern", "q", "k", "v")
AXES = (("layer", "head"), ("layer", "head", "position"), ("layer", "position"))
ROWS = 4096  # positions of all sequences that go through a layer at once


@dataclass(frozen=True)
class LogitDifference:
    """Mean logit of the right token minus that of the wrong one, in logits.

    right, wrong: one token per prompt. position: where it is read, one for all prompts or one
    each; -1 is the last. Called with logits [batch, pos, d_vocab]; a sweep reads only the two
    columns.
    """

    right: Int[Tensor, " batch"]
    wrong: Int[Tensor, " batch"]
    position: int | Int[Tensor, " batch"] = -1

    def __call__(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, ""]:
        rows = torch.arange(len(logits), device=logits.device)
        read = logits[rows, self.positions(logits.shape[1]).to(logits.device)]
        return self.of_columns(read.gather(-1, self.columns.to(logits.device)))

    @property
    def columns(self) -> Int[Tensor, "batch 2"]:
        """The tokens whose logits are read."""
        return torch.stack([self.right, self.wrong], dim=-1)

    def positions(self, n_pos: int) -> Int[Tensor, " batch"]:
        """The position that is read in each prompt, counted from the start."""
        position = torch.as_tensor(self.position).expand(len(self.right))
        return torch.where(position < 0, position + n_pos, position)

    def of_columns(self, values: Float[Tensor, "*run batch 2"]) -> Float[Tensor, "*run"]:
        """The metric from the logits of its columns."""
        return (values[..., 0] - values[..., 1]).mean(-1)


@torch.no_grad()
def patch_sweep(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric | LogitDifference,
    over: Sequence[str] = ("layer", "head"),
    *,
    component: str = "z",
    mode: Literal["denoising", "noising"] = "denoising",
) -> Float[Tensor, "*over"]:
    """The metric after patching one component at a time.

    model: a CourseTransformer or a TransformerLens bridge. clean, corrupted: tokens of the same
    shape. metric: logits [batch, pos, d_vocab] -> a number; a `LogitDifference` is read without
    computing the other logits. over: ("layer", "head"), ("layer", "head", "position") or, for
    resid_pre, attn_out and mlp_out, ("layer", "position"). component: "z", "pattern" (position is
    the query's), "q", "k", "v" (heads are key/value heads for k and v), "resid_pre", "attn_out" or
    "mlp_out". Returns the metric, in its own units, with one axis for each of `over`.

    Raises UnknownName or CourseError for names and shapes that do not fit.
    """
    over = tuple(over)
    _require_fitting(clean, corrupted, component, over, mode)
    base, source = (corrupted, clean) if mode == "denoising" else (clean, corrupted)
    return _Sweep(model, base, source, metric, component).over(over)


def _require_fitting(
    clean: Tokens, corrupted: Tokens, component: str, over: tuple[str, ...], mode: str
) -> None:
    if component not in COMPONENTS:
        raise UnknownName("component to patch", component, COMPONENTS)
    if mode not in ("denoising", "noising"):
        raise UnknownName("mode", mode, ("denoising", "noising"))
    fitting = [axes for axes in AXES if ("head" in axes) == (component in PER_HEAD)]
    if over not in fitting:
        raise CourseError(
            f"{component} can be patched over {' or '.join(map(str, fitting))}, not over {over}."
        )
    if clean.shape != corrupted.shape or clean.ndim != 2:
        raise CourseError(
            f"Clean and corrupted tokens need the same shape [batch, pos]; got "
            f"{list(clean.shape)} and {list(corrupted.shape)}."
        )


@dataclass(frozen=True)
class Patch:
    """One patch of a sweep: where it is, and its place in the result."""

    layer: int
    head: int | None
    place: tuple[int, ...]


class _Sweep:
    """One sweep: two whole runs, then every patch as a continuation of the first."""

    def __init__(
        self, model: Any, base: Tokens, source: Tokens, metric: Metric, component: str
    ) -> None:
        self.stages: Stages = stages_of(model, base)
        self.metric, self.component = metric, component
        self.base, self.source = self.stages.run(base), self.stages.run(source)
        self.n_pos = base.shape[1]
        self.first = first_difference(base, source)
        self.untouched = self._score(self.base.resid_final[None], 0)[0]

    def over(self, axes: tuple[str, ...]) -> Tensor:
        n_heads = self.stages.n_kv_heads if self.component in "kv" else self.stages.n_heads
        sizes = {"layer": self.stages.n_layers, "head": n_heads, "position": self.n_pos}
        result = self.untouched.repeat([sizes[axis] for axis in axes])
        if self.first == self.n_pos:  # the same tokens: no patch changes anything
            return result
        positions = range(self.first, self.n_pos) if "position" in axes else [None]
        for position in positions:
            tail = _Tail(self, position)
            place = () if position is None else (position,)
            heads: list[int | None] = [*range(n_heads)] if "head" in axes else [None]
            patches = [
                Patch(layer, head, (layer, *([] if head is None else [head]), *place))
                for layer in range(sizes["layer"])
                for head in heads
            ]
            for patch, value in tail.scores(patches):
                result[patch.place] = value
        return result

    def _score(self, resid: Float[Tensor, "run batch tail d_model"], start: int) -> Tensor:
        """The metric of final residual streams, known from position `start` on."""
        if isinstance(self.metric, LogitDifference):
            positions = self.metric.positions(self.n_pos) - start
            known = positions >= 0
            batch = torch.arange(len(positions))
            read = resid[:, batch, positions.clamp(min=0)]  # [run, batch, d_model]
            read[:, ~known] = self.base.resid_final[batch, positions + start][~known]
            return self.metric.of_columns(self.stages.columns(read, self.metric.columns))
        return torch.stack([self._call_metric(row, start) for row in resid])

    def _call_metric(self, resid: Float[Tensor, "batch tail d_model"], start: int) -> Tensor:
        whole = torch.cat([self.base.resid_final[:, :start], resid], dim=1)
        return torch.as_tensor(self.metric(self.stages.logits(whole)))


class _Tail:
    """Continuations of the base run from one position on, for many patches at once."""

    def __init__(self, sweep: _Sweep, position: int | None) -> None:
        self.sweep, self.stages = sweep, sweep.stages
        self.base, self.source = sweep.base, sweep.source
        first = sweep.first if position is None else position
        self.start = first if self.stages.local_keys else 0
        self.patched = slice(first, None if position is None else first + 1)
        self.last_read = self._last_read()

    def _last_read(self) -> slice:
        """Of the tail, the positions that the last layer has to compute."""
        if not isinstance(self.sweep.metric, LogitDifference):
            return slice(None)
        positions = self.sweep.metric.positions(self.sweep.n_pos) - self.start
        return slice(max(int(positions.min()), 0), None)

    def scores(self, patches: Sequence[Patch]) -> Iterator[tuple[Patch, Tensor]]:
        """The metric of every patch; patches come sorted by layer."""
        by_layer = {k: list(v) for k, v in groupby(patches, key=lambda patch: patch.layer)}
        running: list[Tensor] = []
        begun: list[Patch] = []
        for layer in range(self.stages.n_layers):
            running = [self._through(layer, resid) for resid in self._gathered(running)]
            running += [self._patched(layer, part) for part in self._parts(by_layer[layer])]
            begun += by_layer[layer]
        ends = [self.sweep.n_pos - resid.shape[2] for resid in running]
        values = [self.sweep._score(*pair) for pair in zip(running, ends, strict=True)]
        yield from zip(begun, torch.cat(values), strict=True)

    def _gathered(self, running: list[Tensor]) -> list[Tensor]:
        """The runs in batches of about equal work, however many patches began them."""
        if not running:
            return []
        together = torch.cat(running)
        return list(together.split(self._runs_at_once()))

    def _runs_at_once(self) -> int:
        batch, tail = len(self.base.resid_final), self.sweep.n_pos - self.start
        return max(1, ROWS // (batch * tail))

    def _parts(self, patches: list[Patch]) -> Iterator[list[Patch]]:
        for part in chunks(len(patches), self._runs_at_once()):
            yield patches[part]

    # --- one layer -----------------------------------------------------------------------

    def _through(
        self, layer: int, resid: Float[Tensor, "run batch tail d_model"]
    ) -> Float[Tensor, "run batch tail d_model"]:
        """A layer on runs that differ from the base already."""
        q, k, v = self.stages.qkv(layer, resid, self.start)
        wanted = self._wanted(layer)
        z = self._attend(layer, q[:, :, wanted], k, v)
        return self._rest(layer, resid[:, :, wanted], self.stages.write(layer, z))

    def _wanted(self, layer: int) -> slice:
        return self.last_read if layer == self.stages.n_layers - 1 else slice(None)

    def _attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mixing for the tail's queries; keys and values before it are the base run's, shared."""
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

    def _rest(self, layer: int, resid: Tensor, attn_out: Tensor) -> Tensor:
        resid = resid + attn_out
        added = self.stages.mlp(layer, resid)
        return resid if added is None else resid + added

    # --- where a run begins --------------------------------------------------------------

    def _patched(self, layer: int, patches: list[Patch]) -> Float[Tensor, "run batch tail d_model"]:
        """The residual stream after a layer in which one thing is patched, a run per patch."""
        component, wanted = self.sweep.component, self._wanted(layer)
        resid = self._tail(self.base.resid_pre[layer])
        if component == "resid_pre":
            return self._through(layer, self._swap("resid_pre", layer)[None])
        if component == "mlp_out":
            before = resid + self._tail(self.base.attn_out[layer])
            return (before + self._swap("mlp_out", layer))[None][:, :, wanted]
        if component == "attn_out":
            attn_out = self._swap("attn_out", layer)[None]
        else:
            z = torch.stack([self._head_z(layer, patch.head) for patch in patches])
            attn_out = self.stages.write(layer, z)
        resid = resid.expand(len(attn_out), -1, -1, -1)
        return self._rest(layer, resid[:, :, wanted], attn_out[:, :, wanted])

    def _tail(self, states: Float[Tensor, "batch pos *rest"]) -> Tensor:
        return states[:, self.start :]

    def _swap(self, name: str, layer: int) -> Float[Tensor, "batch tail d_model"]:
        """The base run's tail with the patched positions from the source."""
        states = getattr(self.base, name)[layer].clone()
        states[:, self.patched] = getattr(self.source, name)[layer][:, self.patched]
        return self._tail(states)

    def _head_z(self, layer: int, head: int | None) -> Float[Tensor, "batch tail head d_head"]:
        """z of all heads when one of them is patched."""
        assert head is not None
        component = self.sweep.component
        if component == "z":
            z = self.base.z[layer].clone()
            z[:, self.patched, head] = self.source.z[layer][:, self.patched, head]
            return self._tail(z)
        if component == "pattern":
            pattern = self.base.pattern[layer].clone()
            source = self.source.pattern[layer]
            pattern[:, head, self.patched] = source[:, head, self.patched]
            return self._tail(mix(pattern, self.base.v[layer]))
        return self._z_from(layer, component, head)

    def _z_from(self, layer: int, component: str, head: int) -> Tensor:
        """z when one head's queries, or one key/value head's keys or values, are patched."""
        states = {name: getattr(self.base, name)[layer] for name in "qkv"}
        patched = states[component].clone()
        source = getattr(self.source, component)[layer]
        patched[:, self.patched, head] = source[:, self.patched, head]
        states[component] = patched
        pattern = self.stages.pattern(layer, states["q"], states["k"])
        return self._tail(mix(pattern, states["v"]))


def first_difference(a: Tokens, b: Tokens) -> int:
    """The first position at which any two prompts differ; their length where none does."""
    differs = (a != b).any(dim=0)
    return int(differs.float().argmax()) if differs.any() else a.shape[1]
