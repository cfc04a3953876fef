"""ACDC: greedy pruning, from the logits back (Conmy et al. 2023, arXiv 2304.14997, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Literal

import torch

from circuits_course.circuits.discovery.edge_runs import EdgeRuns
from circuits_course.circuits.discovery.graph import Edge, Graph
from circuits_course.circuits.patching.metrics import Metric, Tokens
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError, UnknownName

Order = Literal["from the logits", "from the embedding", "random"]
ORDERS = ("from the logits", "from the embedding", "random")


@torch.no_grad()
def acdc(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
    threshold: float,
    *,
    order: Order = "from the logits",
    seed: int = 0,
    within: Iterable[Any] | None = None,
    seen: Callable[[Edge, float, bool], None] | None = None,
) -> list[Edge]:
    """The edges that greedy pruning leaves.

    Edges are tried one after the other: if the metric gets further from its clean value by less
    than `threshold` without the edge (which then carries the corrupted value), the edge is taken
    out for good. With a divergence from the clean run as metric, this is the paper's rule; with a
    logit difference an edge also stays where its loss would *raise* the metric. One run for each
    edge.

    model, clean, corrupted, metric: as for `run_with_edges` and `patch_sweep`. threshold: in the
    metric's units; 0 keeps every edge, infinity none. order: "from the logits" back (the paper's),
    "from the embedding" on, or "random", drawn with `seed`. within: the edges to start from
    (default: all). seen: called after each trial with the edge, by how much the distance grew, and
    whether the edge stays. Returns the edges left, in the order of `edges_of`.

    Raises UnknownName or CourseError for orders, thresholds and shapes that do not fit.
    """
    if not threshold >= 0:
        raise CourseError(f"A threshold is a number from 0 on, in the metric's units: {threshold}.")
    runs = EdgeRuns(model, clean, corrupted)
    graph = runs.graph
    start = graph.edges if within is None else [Edge(*edge) for edge in within]
    mask = graph.mask(start)
    whole = runs.score_of_mask(graph.exists, metric)
    distance = abs(float(runs.score_of_mask(mask, metric) - whole))
    for edge in ordered(graph, start, order, seed):
        place = graph.index(edge)
        mask[place] = False
        without = abs(float(runs.score_of_mask(mask, metric) - whole))
        stays = not without - distance < threshold
        if seen:
            seen(edge, without - distance, stays)
        if stays:
            mask[place] = True
        else:
            distance = without
    return [edge for edge in graph.edges if mask[graph.index(edge)]]


def ordered(graph: Graph, edges: list[Edge], order: str, seed: int = 0) -> list[Edge]:
    """Edges in the order in which ACDC tries them."""
    if order not in ORDERS:
        raise UnknownName("order", order, ORDERS)
    if order == "random":
        return Random(seed).sample(edges, len(edges))
    forward = sorted(edges, key=graph.index)
    return forward if order == "from the embedding" else forward[::-1]
