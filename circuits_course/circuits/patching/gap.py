"""Patch sweeps in shares of the gap between a clean run and a corrupted one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
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
from circuits_course.circuits.patching.stages import Run, Stages, stages_of
from circuits_course.circuits.patching.sweep import PER_HEAD, Sweep, require_fitting
from circuits_course.circuits.patching.tail import Tail
from circuits_course.errors import CourseError


def gap_shares(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric,
    component: str = "z",
    direction: Literal["denoising", "noising"] = "denoising",
    **options: Any,
) -> Float[Tensor, "*over"]:
    """The change that each patch makes, as a share of the gap between clean and corrupted run.

    For several sweeps of the same prompts make one `GapSweep`, which takes the same options and
    says more. Raises CourseError where the two runs score alike.
    """
    sweep = GapSweep(model, clean, {"corrupted": corrupted}, metric)
    return sweep("corrupted", component, direction, **options)


class GapSweep:
    """Sweeps between one clean batch and several corruptions of it, in shares of their gaps.

    clean: tokens [batch, pos]; corrupted: tokens of the same shape, by name. metric: as for
    `patch_sweep`. Every batch is run once, when it is first needed: what was asked for one sweep
    serves the next.
    """

    def __init__(
        self, model: Any, clean: Tokens, corrupted: Mapping[str, Tokens], metric: Metric
    ) -> None:
        self.model, self.metric = model, metric
        self._clean, self._corrupted = clean, dict(corrupted)
        self._runs: dict[str | None, Run] = {}

    @torch.no_grad()
    def __call__(
        self,
        corruption: str,
        component: str = "z",
        direction: Literal["denoising", "noising"] = "denoising",
        every: int = 1,
        *,
        over: Sequence[str] | None = None,
        heads: Collection[Head] | None = None,
    ) -> Float[Tensor, "*over"]:
        """The change that each patch makes, as a share of the gap between clean and corrupted run.

        By head where the component has heads, by position otherwise, or as `over` says. Denoising
        restores up to 1, noising takes away down to -1. every: 4 patches every fourth layer only,
        counted from the last; heads: the only ones to patch. All others are not a number. Raises
        CourseError where the two runs score alike.
        """
        axes = tuple(over or ("layer", "head" if component in PER_HEAD else "position"))
        require_fitting(component, axes, direction)
        low, high = self.score(corruption), self.score()
        if high == low:
            raise CourseError(
                "This corruption leaves the metric as it is: there is no gap to restore."
            )
        ends = (corruption, None) if direction == "denoising" else (None, corruption)
        layers = range(self.model.cfg.n_layers - 1, -1, -every)
        tokens, (base, source) = self._tokens(corruption), map(self._run, ends)
        first = first_difference(self._clean, tokens)
        sweep = Sweep(self._stages, base, source, first, self.metric, component, heads, layers)
        return (sweep.over(axes) - self.score(ends[0])) / (high - low)

    def score(self, corruption: str | None = None) -> Tensor:
        """The metric of a corrupted run, or of the clean one."""
        run = self._run(corruption)
        return Tail(self._stages, run, self.metric).scores(run.resid_final[None])[0]

    def _tokens(self, corruption: str | None) -> Tokens:
        return self._clean if corruption is None else self._corrupted[corruption]

    @torch.no_grad()
    def _run(self, corruption: str | None) -> Run:
        if corruption not in self._runs:
            tokens = self._tokens(corruption)
            require_pair(self.model, self._clean, tokens, self.metric)
            self._runs[corruption] = self._stages.run(tokens)
        return self._runs[corruption]

    @cached_property
    def _stages(self) -> Stages:
        return stages_of(self.model, self._clean)
