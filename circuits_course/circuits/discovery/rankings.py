"""Every method as a ranking of edges, so that all can be judged alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from circuits_course.circuits.discovery.attributing import (
    edge_attribution,
    integrated_edge_attribution,
    node_attribution,
)
from circuits_course.circuits.discovery.edge_runs import EdgeRuns
from circuits_course.circuits.discovery.effects import edge_effects
from circuits_course.circuits.discovery.graph import Edge, Graph
from circuits_course.circuits.discovery.greedy import acdc
from circuits_course.circuits.patching.metrics import Metric, Tokens
from circuits_course.data.logit_difference import LogitDifference

THRESHOLDS = (0.005, 0.05, 0.3)
"""Of the gap between clean and corrupted run: what ACDC is run with to rank edges."""


def metric_gap(
    model: Any, clean: Tokens, corrupted: Tokens | None, metric: Metric | LogitDifference
) -> float:
    """The metric of the clean run less that of the corrupted one: what there is to explain."""
    runs = EdgeRuns(model, clean, corrupted)
    return float(runs.score(runs.graph.edges, metric) - runs.score((), metric))


def acdc_scores(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[Edge, float]:
    """For each edge the highest threshold at which ACDC keeps it, as a share of the gap; else 0.

    One run for each edge and threshold. The other arguments are those of `acdc`.
    """
    gap = abs(metric_gap(model, clean, corrupted, metric))
    scores = dict.fromkeys(Graph.of(model).edges, 0.0)
    for share in sorted(thresholds):
        kept = acdc(model, clean, corrupted, metric, share * gap)
        scores |= dict.fromkeys(kept, share * gap)
    return scores


def node_scores(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
) -> dict[Edge, float]:
    """Edges by their ends: the smaller of the sizes of `node_attribution` at either end.

    What an attribution of whole heads says of edges. The logits count as infinitely important;
    under grouped keys a receiver is as important as the best of the heads that share it.
    """
    graph = Graph.of(model)
    nodes = {
        sender: abs(x) for sender, x in node_attribution(model, clean, corrupted, metric).items()
    }
    return {edge: min(nodes[edge.sender], _heard(graph, nodes, edge)) for edge in graph.edges}


def _heard(graph: Graph, nodes: Mapping[Any, float], edge: Edge) -> float:
    receiver = edge.receiver
    if isinstance(receiver, str):  # "logits"
        return float("inf")
    if len(receiver) == 2 or receiver[2] == "q":
        return nodes[receiver[:2]]
    size = graph.n_heads // graph.n_kv_heads
    first = int(receiver[1]) * size
    return max(nodes[receiver[0], head] for head in range(first, first + size))


Method = Callable[..., dict[Edge, float]]

METHODS: dict[str, Method] = {
    "exact": edge_effects,
    "ACDC": acdc_scores,
    "EAP": edge_attribution,
    "EAP-IG, 5 steps": partial(integrated_edge_attribution, steps=5),
    "EAP-IG, 20 steps": partial(integrated_edge_attribution, steps=20),
    "nodes": node_scores,
}
"""Name -> method(model, *task) -> a score for each edge, in the metric's units."""
