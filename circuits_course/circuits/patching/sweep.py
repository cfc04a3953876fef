"""Activation patching, fast: sweeps that do only the work that a patch makes necessary.

A patch at layer L and position p leaves everything before L and before p as it was. So a sweep
starts every patched run at its layer, from the first position that can change, runs many patches
as one batch, and in the last layer computes only the positions the metric reads. Results equal
those of `transformer_lens.patching`, which runs the whole model once for every patch.

Denoising puts clean activations into the corrupted run, noising the reverse (Heimersheim and Nanda
2024, arXiv 2404.15255).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching.metrics import (
    Metric,
    Tokens,
    first_difference,
    require_pair,
)
from circuits_course.circuits.patching.stages import Run, Stages, mix, stages_of
from circuits_course.circuits.patching.tail import Tail, chunks
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError, UnknownName

AS_READ = {"keys": "k", "values": "v"}  # keys or values as a single query head reads them
SHARED = ("k", "v")  # where keys and values are grouped, several query heads share these
PER_HEAD = ("z", "pattern", "q", *SHARED, *AS_READ)
COMPONENTS = (*PER_HEAD, "resid_pre", "attn_out", "mlp_out")
AXES = (("layer", "head"), ("layer", "head", "position"), ("layer", "position"))


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
    heads: Collection[Head] | None = None,
    layers: Collection[int] | None = None,
) -> Float[Tensor, "*over"]:
    """The metric after patching one component at a time.

    model: a CourseTransformer or a TransformerLens bridge. clean, corrupted: tokens of the same
    shape. metric: logits [batch, pos, d_vocab] -> a number; a `LogitDifference` is read without
    computing the other logits. over: ("layer", "head"), ("layer", "head", "position") or, for
    resid_pre, attn_out and mlp_out, ("layer", "position"). component: "z", "pattern" (position is
    the query's), "q", "k", "v" (heads are key/value heads for k and v), "keys", "values" (k or v as
    one query head reads them: with grouped keys its neighbours go on reading the others),
    "resid_pre", "attn_out" or "mlp_out". heads, layers: the (layer, head) pairs and the layers to
    patch (default: all); the others are not a number in the result. Returns the metric, in its own
    units, with one axis for each of `over`.

    Raises UnknownName or CourseError for names and shapes that do not fit.
    """
    over = tuple(over)
    require_fitting(component, over, mode)
    require_pair(model, clean, corrupted, metric)
    base, source = (corrupted, clean) if mode == "denoising" else (clean, corrupted)
    stages, first = stages_of(model, base), first_difference(base, source)
    runs = stages.run(base), stages.run(source)
    return Sweep(stages, *runs, first, metric, component, heads, layers).over(over)


@torch.no_grad()
def replace_heads(
    stages: Stages,
    base: Run,
    instead: list[Float[Tensor, "batch pos head d_head"]],
    metric: Metric | LogitDifference,
    heads: Collection[Head],
    over: Sequence[str] = ("layer", "head"),
    first: int = 0,
) -> Float[Tensor, "*over"]:
    """The metric with another output z in the place of one head's at a time: a sweep of one run.

    base: with resid_pre, k, v and z. instead: a tensor for each layer. heads, over: as for
    `patch_sweep`. first: the first position at which `instead` differs from the base run.
    """
    source = replace(base, z=instead)
    return Sweep(stages, base, source, first, metric, "z", heads).over(tuple(over))


def require_fitting(component: str, over: tuple[str, ...], mode: str) -> None:
    """Raises UnknownName or CourseError unless these three go together."""
    if component not in COMPONENTS:
        raise UnknownName("component to patch", component, COMPONENTS)
    if mode not in ("denoising", "noising"):
        raise UnknownName("mode", mode, ("denoising", "noising"))
    fitting = [axes for axes in AXES if ("head" in axes) == (component in PER_HEAD)]
    if over not in fitting:
        raise CourseError(
            f"{component} can be patched over {' or '.join(map(str, fitting))}, not over {over}."
        )


@dataclass(frozen=True)
class Patch:
    """One patch of a sweep: where it is, and its place in the result."""

    layer: int
    head: int | None
    place: tuple[int, ...]


class Sweep:
    """One sweep: every patch of one whole run from another as a continuation of the first.

    first: the first position at which the two differ.
    """

    def __init__(
        self,
        stages: Stages,
        base: Run,
        source: Run,
        first: int,
        metric: Metric,
        component: str,
        heads: Collection[Head] | None = None,
        layers: Collection[int] | None = None,
    ) -> None:
        self.stages, self.base, self.source, self.first = stages, base, source, first
        self.metric, self.component = metric, component
        self.heads, self.layers = heads, layers
        self.n_pos = base.resid_final.shape[1]

    def over(self, axes: tuple[str, ...]) -> Tensor:
        n_heads = self.stages.n_kv_heads if self.component in SHARED else self.stages.n_heads
        sizes = {"layer": self.stages.n_layers, "head": n_heads, "position": self.n_pos}
        untouched = Tail(self.stages, self.base, self.metric).scores(self.base.resid_final[None])
        result = untouched[0].expand(*(sizes[axis] for axis in axes), *untouched.shape[1:]).clone()
        if self.heads is not None:
            self._leave_out(result)
        layers = sorted(range(sizes["layer"]) if self.layers is None else self.layers)
        result[[layer for layer in range(sizes["layer"]) if layer not in layers]] = torch.nan
        if self.first == self.n_pos:  # the same tokens: no patch changes anything
            return result
        positions = range(self.first, self.n_pos) if "position" in axes else [None]
        for position in positions:
            place = () if position is None else (position,)
            heads: list[int | None] = [*range(n_heads)] if "head" in axes else [None]
            patches = [
                Patch(layer, head, (layer, *([] if head is None else [head]), *place))
                for layer in layers
                for head in heads
                if self.heads is None or (layer, head) in self.heads
            ]
            for patch, value in _Patched(self, position).scores(patches):
                result[patch.place] = value
        return result

    def _leave_out(self, result: Tensor) -> None:
        """Marks the heads that are not asked for."""
        assert self.heads is not None
        asked = torch.zeros(result.shape[:2], dtype=torch.bool)
        for layer, head in self.heads:
            if not (0 <= layer < asked.shape[0] and 0 <= head < asked.shape[1]):
                raise CourseError(
                    f"There is no head {layer}.{head} to patch: {self.component} has "
                    f"{asked.shape[0]} layers of {asked.shape[1]} heads, counted from 0."
                )
            asked[layer, head] = True
        result[~asked] = torch.nan


class _Patched:
    """The patched runs that equal the base run up to one position."""

    def __init__(self, sweep: Sweep, position: int | None) -> None:
        self.component, self.stages = sweep.component, sweep.stages
        self.base, self.source = sweep.base, sweep.source
        first = sweep.first if position is None else position
        self.tail = Tail(sweep.stages, sweep.base, sweep.metric, first)
        self.patched = slice(first, None if position is None else first + 1)

    def scores(self, patches: Sequence[Patch]) -> Iterator[tuple[Patch, Tensor]]:
        """The metric of every patch; patches come sorted by layer."""
        by_layer = {k: list(v) for k, v in groupby(patches, key=lambda patch: patch.layer)}
        running: list[Tensor] = []
        begun: list[Patch] = []
        for layer in range(self.stages.n_layers):
            running = [self.tail.through(layer, resid) for resid in self._gathered(running)]
            running += [self._begun(layer, part) for part in self._parts(by_layer.get(layer, []))]
            begun += by_layer.get(layer, [])
        values = [self.tail.scores(resid) for resid in running]
        yield from zip(begun, torch.cat(values), strict=True)

    def _gathered(self, running: list[Tensor]) -> list[Tensor]:
        """The runs in batches of about equal work, however many patches began them."""
        return list(torch.cat(running).split(self.tail.runs_at_once())) if running else []

    def _parts(self, patches: list[Patch]) -> Iterator[list[Patch]]:
        for part in chunks(len(patches), self.tail.runs_at_once()):
            yield patches[part]

    def _begun(self, layer: int, patches: list[Patch]) -> Float[Tensor, "run batch tail d_model"]:
        """The residual stream after a layer in which one thing is patched, a run per patch."""
        tail, wanted = self.tail, self.tail.wanted(layer)
        resid = tail.of(self.base.resid_pre[layer])
        if self.component == "resid_pre":
            return tail.through(layer, self._swap("resid_pre", layer)[None])
        if self.component == "mlp_out":
            before = resid + tail.of(self.base.attn_out[layer])
            return (before + self._swap("mlp_out", layer))[None][:, :, wanted]
        if self.component == "attn_out":
            attn_out = self._swap("attn_out", layer)[None]
        else:
            z = torch.stack([self._head_z(layer, patch.head) for patch in patches])
            attn_out = self.stages.write(layer, z)
        resid = resid.expand(len(attn_out), -1, -1, -1)
        return tail.rest(layer, resid[:, :, wanted], attn_out[:, :, wanted])

    def _swap(self, name: str, layer: int) -> Float[Tensor, "batch tail d_model"]:
        """The base run's tail with the patched positions from the source."""
        states = getattr(self.base, name)[layer].clone()
        states[:, self.patched] = getattr(self.source, name)[layer][:, self.patched]
        return self.tail.of(states)

    def _head_z(self, layer: int, head: int | None) -> Float[Tensor, "batch tail head d_head"]:
        """z of all heads when one of them is patched."""
        assert head is not None
        if self.component == "z":
            z = self.base.z[layer].clone()
            z[:, self.patched, head] = self.source.z[layer][:, self.patched, head]
            return self.tail.of(z)
        if self.component == "pattern":
            pattern = self.base.pattern[layer].clone()
            source = self.source.pattern[layer]
            pattern[:, head, self.patched] = source[:, head, self.patched]
            return self.tail.of(mix(pattern, self.base.v[layer]))
        if self.component not in AS_READ:
            return self.tail.of(self._z_from(layer, self.component, head))
        group = head * self.stages.n_kv_heads // self.stages.n_heads
        z = self.base.z[layer].clone()
        z[:, :, head] = self._z_from(layer, AS_READ[self.component], group)[:, :, head]
        return self.tail.of(z)

    def _z_from(self, layer: int, name: str, head: int) -> Float[Tensor, "batch pos head d_head"]:
        """z when one head's queries, or one key/value head's keys or values, are patched."""
        states = {name: getattr(self.base, name)[layer] for name in "qkv"}
        patched = states[name].clone()
        source = getattr(self.source, name)[layer]
        patched[:, self.patched, head] = source[:, self.patched, head]
        states[name] = patched
        pattern = self.stages.pattern(layer, states["q"], states["k"])
        return mix(pattern, states["v"])
