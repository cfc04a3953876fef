"""Judging a method: against edges that are known, and by what its circuits do.

Faithfulness curves and their areas are those of the Mechanistic Interpretability Benchmark (Mueller
et al. 2025, arXiv 2504.13151, section 3): CPR is the area under the faithfulness of circuits of
growing size, CMD the area between it and 1.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

import torch

from circuits_course.circuits.discovery.edge_runs import EdgeRuns
from circuits_course.circuits.discovery.graph import Edge
from circuits_course.circuits.patching.metrics import Metric, Tokens
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError, UnknownName

MEASURED = Path(__file__).parents[1] / "measured"
By = Literal["size of effect", "help"]
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Of all edges: where the benchmark takes a curve's points, beside 0 and 1."""


class PrecisionRecall(NamedTuple):
    """precision: of what was found, the share that is there; recall: of what is there, the share
    found."""

    precision: float
    recall: float


def precision_recall(found: Collection[Any], planted: Collection[Any]) -> PrecisionRecall:
    """How far found edges are the planted ones. Of nothing found, precision is 0.

    Raises CourseError where nothing is planted.
    """
    if not planted:
        raise CourseError("There is no planted edge to be found.")
    right = len(set(map(tuple, found)) & set(map(tuple, planted)))
    return PrecisionRecall(right / len(set(found)) if found else 0.0, right / len(set(planted)))


def strongest_edges(
    scores: Mapping[Edge, float], count: int, by: By = "size of effect"
) -> list[Edge]:
    """The `count` edges with the largest scores: in size, or, by "help", those furthest below 0.

    A score is a change of the metric when the edge is corrupted, so that what helps is below 0.
    Edges of equal score come in the order of `edges_of`.
    """
    if by not in ("size of effect", "help"):
        raise UnknownName("way to rank edges", by, ("size of effect", "help"))
    key = (lambda edge: -abs(scores[edge])) if by == "size of effect" else scores.__getitem__
    return sorted(scores, key=key)[:count]


def random_circuits(
    edges: Sequence[Edge], size: int, count: int = 20, seed: int = 0
) -> list[list[Edge]]:
    """Circuits of `size` edges drawn at random: what any circuit has to beat."""
    draw = Random(seed)
    return [draw.sample(list(edges), size) for _ in range(count)]


def random_scores(edges: Sequence[Edge], seed: int = 0) -> dict[Edge, float]:
    """Edges ranked at random, for the curve of a method that knows nothing."""
    draw = Random(seed)
    return {edge: draw.random() - 1.0 for edge in edges}


@dataclass(frozen=True)
class FaithfulnessCurve:
    """Faithfulness of circuits of growing size.

    shares: of all edges, from 0 to 1. values: (metric of the circuit - corrupted) / (clean -
    corrupted): 0 is the corrupted run, 1 the clean one; neither is a bound.
    """

    shares: list[float]
    values: list[float]

    @property
    def cpr(self) -> float:
        """Area under the curve: how much of the metric small circuits already have. More is
        better, and more than 1 is possible."""
        return area_under(self.shares, self.values)

    @property
    def cmd(self) -> float:
        """Area between the curve and 1: how far circuits are from the model. 0 is best."""
        return area_under(self.shares, [abs(1 - value) for value in self.values])


def area_under(shares: Sequence[float], values: Sequence[float]) -> float:
    """The area under straight lines between points (trapezoids)."""
    return float(torch.trapezoid(torch.tensor(values), torch.tensor(shares)))


@torch.no_grad()
def faithfulness_curve(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
    scores: Mapping[Edge, float],
    shares: Sequence[float] = SHARES,
    *,
    by: By = "size of effect",
) -> FaithfulnessCurve:
    """How faithful the strongest edges are, for growing shares of all edges.

    scores: a number for each edge of the model, from any method. shares: of all edges, 0 and 1
    are added. by: as for `strongest_edges`; the benchmark takes "size of effect" for CMD and "help"
    for CPR. The other arguments are those of `edge_effects`.

    Raises CourseError where clean and corrupted run score alike.
    """
    runs = EdgeRuns(model, clean, corrupted)
    ranked = strongest_edges(scores, len(scores), by)
    low, high = (float(runs.score(kept, metric)) for kept in ((), runs.graph.edges))
    if isclose(high, low, rel_tol=1e-5, abs_tol=1e-5):
        raise CourseError(
            "Clean and corrupted run score alike: there is nothing to be faithful to."
        )
    points = sorted({0.0, 1.0, *shares})
    values = [
        (float(runs.score(ranked[: round(share * len(ranked))], metric)) - low) / (high - low)
        for share in points
    ]
    return FaithfulnessCurve(points, values)


def measured_discovery() -> dict[str, Any]:
    """The table of every method on every known circuit, as measured for this course.

    "planted": by kind of circuit; "induction-2l": by data; "ioi": SmolLM2. Triples of numbers are a
    mean and its interval. Made again by `python -m circuits_course.authoring.measure_discovery`.
    """
    return json.loads((MEASURED / "discovery.json").read_text(encoding="utf-8"))
