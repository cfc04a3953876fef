"""Prompts of several seeds, and what a model does on them, prompt by prompt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import bootstrap
from torch import Tensor

from circuits_course.checks.references import load_reference
from circuits_course.circuits.heads import Head
from circuits_course.circuits.ioi import (
    KnockOuts,
    answer_directions,
    pair_means,
    run_at_end,
)
from circuits_course.circuits.ioi_roles import looks_by_name
from circuits_course.circuits.ioi_signals import copies_by_name
from circuits_course.circuits.patching import path_patch_sweep, path_patch_together
from circuits_course.data.ioi import IOIBatch, ioi_batch

Each = Float[Tensor, "*what prompt"]
"""One number for each prompt, on the last axis."""


REFERENCES = 16  # ABC prompts of a template and order, over which a knocked-out head is averaged


class Prompts:
    """The prompts of some templates and seeds, `count` a seed."""

    def __init__(
        self, model: Any, templates: Sequence[int], seeds: Sequence[int], count: int = 16
    ) -> None:
        self.model, self.seeds, self.templates = model, tuple(seeds), tuple(templates)
        self.count = count
        self.batches = [ioi_batch(model, count, seed=s, templates=templates) for s in seeds]
        self.abc = [
            batch.corrupt("ABC", 100 + seed)
            for batch, seed in zip(self.batches, seeds, strict=True)
        ]

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def join(self, measure: Callable[[IOIBatch], Tensor]) -> Each:
        """What `measure` says of every batch, on one prompt axis."""
        return torch.cat([measure(batch) for batch in self.batches], dim=-1)

    @cached_property
    def groups(self) -> Tensor:
        return self.join(lambda batch: batch.groups)

    @cached_property
    def engines(self) -> list[KnockOuts]:
        return [KnockOuts(self.model, batch, REFERENCES) for batch in self.batches]

    def left(self, heads: Iterable[Head]) -> Each:
        """Logit differences when only these heads are left."""
        heads = frozenset(heads)
        return torch.cat([F.each(heads) for F in self.engines])

    @property
    def everything(self) -> frozenset[Head]:
        return self.engines[0].heads

    def without(self, heads: Iterable[Head]) -> Each:
        return self.left(self.everything - frozenset(heads))

    def looks(self) -> dict[str, Float[Tensor, "layer head prompt"]]:
        """Attention between named positions, on the prompts and, with ", ABC", on ABC prompts."""
        parts = [
            looks_by_name(self.model, batch, abc, each=True)
            for batch, abc in zip(self.batches, self.abc, strict=True)
        ]
        return {what: torch.cat([part[what] for part in parts], dim=-1) for what in parts[0]}

    def direct(self) -> Float[Tensor, "layer head prompt"]:
        """Direct effects, by the chapter's reference answer."""
        attribute = load_reference("06_indirect_object_identification").attribute_heads

        def of(batch: IOIBatch) -> Tensor:
            _, cache = run_at_end(self.model, batch.tokens, batch.positions["END"])
            return attribute(cache, answer_directions(self.model, batch.io, batch.s))

        return self.join(of)

    def copies(self, heads: Collection[Head]) -> dict[str, dict[Head, Each]]:
        parts = [copies_by_name(self.model, batch, heads) for batch in self.batches]
        return {
            what: {head: torch.cat([part[what][head] for part in parts]) for head in heads}
            for what in parts[0]
        }

    def paths(self, receivers: Sequence[Any], at: str) -> Float[Tensor, "layer head prompt"]:
        """Change of the logit difference when receivers hear each head from ABC prompts."""
        changes = []
        for batch, abc in zip(self.batches, self.abc, strict=True):
            swept = path_patch_sweep(
                self.model, batch.tokens, abc, receivers, batch.metric.each(),
                position=batch.positions[at],
            )  # fmt: skip
            changes.append(swept - batch.metric.each()(self.model(batch.tokens)))
        return torch.cat(changes, dim=-1)

    def path(self, senders: Collection[Head], receivers: Any, at: str) -> Each:
        """The same for senders that are heard at once."""
        changes = []
        for batch, abc in zip(self.batches, self.abc, strict=True):
            heard = path_patch_together(
                self.model, batch.tokens, abc, senders, receivers, batch.metric.each(),
                position=batch.positions[at],
            )  # fmt: skip
            changes.append(heard - batch.metric.each()(self.model(batch.tokens)))
        return torch.cat(changes)


def intervals(values: Each, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Lower and upper ends of 95 % bootstrap intervals of the means, pairs drawn anew."""
    drawn = bootstrap(
        (pair_means(values).numpy(),), _mean, axis=-1, n_resamples=2000, method="percentile",
        rng=seed, batch=100,
    ).confidence_interval  # fmt: skip
    return torch.as_tensor(drawn.low), torch.as_tensor(drawn.high)


def _mean(values: Any, axis: int = -1) -> Any:
    return values.mean(axis)


def spread(values: Each) -> list[float]:
    """Mean and 95 % interval of one quantity."""
    low, high = intervals(values)
    return [values.mean().item(), low.item(), high.item()]


def means(tables: Mapping[str, Each]) -> dict[str, Tensor]:
    return {what: table.mean(-1) for what, table in tables.items()}
