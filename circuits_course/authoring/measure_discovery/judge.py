"""One method on one task: what it finds of the truth, and how faithful its circuits are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from circuits_course.circuits.discovery import (
    METHODS,
    DiscoveryTask,
    Edge,
    EdgeRuns,
    FaithfulnessCurve,
    between_heads,
    edge_effects,
    metric_gap,
    precision_recall,
    random_circuits,
    random_scores,
    strongest_edges,
)
from circuits_course.circuits.discovery.judging import SHARES
from circuits_course.circuits.evidence import interval

FOUND = 0.05  # of the gap between clean and corrupted run: a score from here on is a find
CONTROLS = 20
Row = dict[str, float]


def silenced(model: Any, clean: Any, _corrupted: Any, metric: Any) -> dict[Edge, float]:
    """Exact effects of edges that carry nothing at all, instead of another prompt's value."""
    return edge_effects(model, clean, None, metric)


ALL = {**METHODS, "exact, edges silenced": silenced}


class Judged:
    """One model and its truth: tasks to score edges on, and others to judge circuits on.

    truth: the edges between heads, and to the logits, that are there. ask, judge: fresh prompts.
    shares: of all edges, the sizes of the circuits that are judged.
    """

    def __init__(
        self,
        model: Any,
        truth: Iterable[Any],
        ask: DiscoveryTask,
        judge: DiscoveryTask,
        shares: Sequence[float] = SHARES,
    ) -> None:
        self.shares = shares
        self.model, self.truth, self.ask = model, list(truth), ask
        self.metric = judge.metric
        self.runs = EdgeRuns(model, judge.clean, judge.corrupted)
        self.low, self.high = (
            float(self.runs.score(kept, self.metric)) for kept in ((), self.runs.graph.edges)
        )

    @cached_property
    def gap(self) -> float:
        """What there is to find: between clean and corrupted run, on the prompts asked about."""
        return abs(metric_gap(self.model, *self.ask))

    def row(self, name: str, method: Callable[..., dict[Edge, float]]) -> Row:
        """What a method scores here."""
        start = time.process_time()
        scores = method(self.model, *self.ask)
        seconds = time.process_time() - start
        return {**self.overlap(name, scores), **self.areas(scores), "seconds": seconds}

    def overlap(self, name: str, scores: Mapping[Edge, float]) -> Row:
        """Of the finds, and of as many edges as there are in truth."""
        among = {edge: scores[edge] for edge in between_heads(scores)}
        least = 0.999 * FOUND * self._scale(name)  # ACDC's scores are thresholds themselves
        found = [edge for edge, score in among.items() if abs(score) >= least]
        precision, recall = precision_recall(found, self.truth)
        at_size = precision_recall(strongest_edges(among, len(self.truth)), self.truth)
        return {
            "found": len(found), "precision": precision, "recall": recall,
            "recall at true size": at_size.recall,
        }  # fmt: skip

    def _scale(self, name: str) -> float:
        if "silenced" in name:
            return abs(metric_gap(self.model, self.ask.clean, None, self.ask.metric))
        return self.gap

    def areas(self, scores: Mapping[Edge, float]) -> Row:
        """CPR with edges ranked by help, CMD with edges ranked by size, as the benchmark does."""
        by_size = self.curve(scores, "size of effect")
        by_help = self.curve(scores, "help") if min(scores.values()) < 0 else by_size
        return {"cpr": by_help.cpr, "cpr by size": by_size.cpr, "cmd": by_size.cmd}

    def curve(self, scores: Mapping[Edge, float], by: Any) -> FaithfulnessCurve:
        ranked = strongest_edges(scores, len(scores), by)
        sizes = [round(share * len(ranked)) for share in self.shares]
        values = [
            float(self.runs.score(ranked[:size], self.metric)) if size else self.low
            for size in sizes
        ]
        inner = [(value - self.low) / (self.high - self.low) for value in values]
        return FaithfulnessCurve([0.0, *self.shares, 1.0], [0.0, *inner, 1.0])

    def controls(self, seed: int) -> list[Row]:
        """Random circuits of the true size, and random rankings of all edges."""
        edges = self.runs.graph.edges
        drawn = random_circuits(between_heads(edges), len(self.truth), CONTROLS, seed)
        rows = []
        for draw, circuit in enumerate(drawn):
            precision, recall = precision_recall(circuit, self.truth)
            ranked = random_scores(edges, CONTROLS * seed + draw)
            curve = self.curve(ranked, "size of effect")
            rows.append({
                "found": len(circuit), "precision": precision, "recall": recall,
                "recall at true size": recall, "cpr": curve.cpr, "cpr by size": curve.cpr,
                "cmd": curve.cmd,
            })  # fmt: skip
        return rows


def summary(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Mean, low and high of each number over independent units."""
    found = {}
    for what in rows[0]:
        values = interval(row[what] for row in rows)
        found[what] = [values.mean, values.low, values.high]
    return found
