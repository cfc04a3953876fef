"""How sure is a measurement: intervals over independent units, and controls of the same layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.errors import CourseError

FEWEST = 20
MANY = 1000  # units: from here on the bootstrap needs no correction for bias and skew
AT_A_TIME = 1_000_000  # numbers drawn at once


@dataclass(frozen=True)
class Interval:
    """A mean and the range in which a bootstrap finds it; n: the number of independent units."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        digits = 2 if max(abs(self.low), abs(self.high)) >= 0.095 else 3
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"


def interval(values: Iterable[Any], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of independent values and its bootstrap interval.

    values: one number for each independent unit, such as a sequence, a seed or a prompt; tokens of
    one sequence are not independent. confidence: share of resampled means inside the interval. The
    interval is bias-corrected and accelerated (Efron 1987), by `scipy.stats.bootstrap`; of more
    than a thousand units it is the plain percentile's, which then differs by less than it says.

    Raises CourseError for fewer than two values.
    """
    import numpy as np
    from scipy.stats import bootstrap

    numbers = np.asarray([float(value) for value in values])
    if len(numbers) < 2:
        raise CourseError("An interval needs at least two independent values.")
    mean = float(numbers.mean())
    if np.ptp(numbers) == 0:
        return Interval(mean, mean, mean, len(numbers))
    found = bootstrap(
        (numbers,),
        np.mean,
        confidence_level=confidence,
        method="BCa" if len(numbers) <= MANY else "percentile",
        batch=max(1, AT_A_TIME // len(numbers)),  # or many units would fill the memory
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), len(numbers))


def interval_bands(lines: Mapping[str, Any]) -> dict[str, tuple[list[float], list[float]]]:
    """For each line [unit, point] its intervals, as (lows, highs): what `plot_lines` shades.

    A line of independent units (prompts, windows, seeds) by points (layers, states, steps).
    """
    found = {}
    for name, values in lines.items():
        intervals = [interval(units) for units in zip(*values, strict=True)]
        found[name] = [i.low for i in intervals], [i.high for i in intervals]
    return found


def control_sets(
    heads: Iterable[Head],
    n_heads: int | Sequence[int],
    n_sets: int = 23,
    seed: int = 0,
    *,
    fewest: int = FEWEST,
) -> list[list[Head]]:
    """Distinct sets of other heads, as many from each layer as `heads` has there.

    heads: those under test; none of them is in any set. n_heads: of a layer (or one number for each
    layer). n_sets: how many sets are wanted; where fewer exist all of them come. fewest: how many
    must exist. Raises CourseError where they do not: with three controls a verdict turns round
    with the draw.
    """
    tested = {(int(layer), int(head)) for layer, head in heads}
    wanted = Counter(layer for layer, _ in tested)
    free = {layer: _free(layer, tested, n_heads) for layer in sorted(wanted)}
    exist = math.prod(math.comb(len(free[layer]), wanted[layer]) for layer in free)
    if exist < min(fewest, n_sets):
        raise CourseError(
            f"Only {exist} distinct control sets exist for these heads; {min(fewest, n_sets)} are "
            "needed. Test fewer heads at once, or say fewest=... and how few there were."
        )
    draw, found = Random(seed), dict[tuple[Head, ...], None]()
    while len(found) < min(n_sets, exist):
        drawn = [head for layer in free for head in draw.sample(free[layer], wanted[layer])]
        found.setdefault(tuple(sorted(drawn)))
    return [list(heads) for heads in found]


def _free(layer: int, tested: set[Head], n_heads: int | Sequence[int]) -> list[Head]:
    count = n_heads if isinstance(n_heads, int) else n_heads[layer]
    return [(layer, head) for head in range(count) if (layer, head) not in tested]


@dataclass(frozen=True)
class Beats:
    """How many of the controls an effect exceeds."""

    more_than: int
    of: int

    @property
    def share(self) -> float:
        return self.more_than / self.of

    def __str__(self) -> str:
        return f"more than {self.more_than} of {self.of}"


def beats(effect: Any, controls: Iterable[Any]) -> Beats:
    """Counts the controls whose effect is smaller. Effects are compared as they are, with sign."""
    others = [float(control) for control in controls]
    return Beats(sum(float(effect) > control for control in others), len(others))


def per_sequence(
    change: Float[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"]
) -> Float[Tensor, " row"]:
    """One number for each sequence that has some of the masked places: its mean over them."""
    return torch.stack([row[at].mean() for row, at in zip(change, mask, strict=True) if at.any()])


def beside_controls(
    changes: Float[Tensor, "set batch pos"], mask: Bool[Tensor, "batch pos"]
) -> dict[str, float | str | None]:
    """An effect with its interval, beside the controls: a row for `show_table`.

    changes: what each intervention does to each place; the first is the one under test, the others
    are its controls. mask: the places that count. Sequences are the independent units.
    """
    effects = [per_sequence(change, mask) for change in changes]
    controls = [float(effect.mean()) for effect in effects[1:]]
    found = interval(effects[0])
    return {
        "effect": found.mean,
        "interval": f"{found.low:+.2f} to {found.high:+.2f}",
        "lowest control": min(controls, default=None),
        "highest": max(controls, default=None),
        "ours is": str(beats(found.mean, controls)),
    }
