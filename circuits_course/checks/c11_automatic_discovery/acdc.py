"""Exercise `acdc`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.shared import (
    Edges,
    all_edges,
    pair,
    plain,
    reads,
    score,
    small_model,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.discovery import acdc as engine

acdc = Exercise(
    "acdc",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "`left` is what is still there, `now` how far it is away. Make the list without this one "
        "edge and ask how far that is.",
        "It is the difference that counts: how much further away than before. If that is below "
        "the threshold, both `left` and `now` change; otherwise neither.",
    ],
)

Away = Callable[[Edges], float]


@acdc.cases
def _cases() -> Iterator[Case]:
    model = small_model()
    yield Case("two layers, a threshold of 0.5", model, *pair(3, 5, 1), reads(3, 1), 0.5)
    yield Case("two layers, a threshold of 2", model, *pair(3, 5, 1), reads(3, 1), 2.0)
    yield Case("another model", small_model(2, 2, 1), *pair(4, 6, 7), reads(4, 3), 0.8)
    yield Case("three layers", small_model(3, 2, 2), *pair(2, 4, 9), reads(2, 4, 2), 1.0)


@acdc.observe
def _sorted(output: Any, model: Any, *_: Any) -> Edges:
    """Edges in the order of the graph: it says nothing about the answer."""
    found = set(plain(output))
    known = [edge for edge in all_edges(model) if edge in found]
    return known + sorted(found.difference(known), key=repr)


@acdc.oracle
def _oracle(model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float) -> Edges:
    """By the package's engine."""
    return plain(engine(model, clean, corrupted, metric, threshold))


def _greedy(
    edges: Edges, away: Away, threshold: float, *, against: Callable[[float, float], float]
) -> Edges:
    """Cuts an edge where against(distance without it, distance now) is below the threshold."""
    left, now = list(edges), away(edges)
    for edge in edges:
        without = [other for other in left if other != edge]
        then = away(without)
        if against(then, now) < threshold:
            left, now = without, then
    return left


def _away(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, *, signed: bool = False
) -> Away:
    whole = score(model, clean, corrupted, metric, all_edges(model))

    def away(edges: Edges) -> float:
        change = score(model, clean, corrupted, metric, edges) - whole
        return -change if signed else abs(change)

    return away


def _added(then: float, now: float) -> float:
    return then - now


@acdc.wrong(
    "edges are tried from the embedding on. Go from the last edge to the first: what is cut near "
    "the logits takes what only served it along."
)
def from_the_embedding(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float
) -> Edges:
    away = _away(model, clean, corrupted, metric)
    return _greedy(all_edges(model), away, threshold, against=_added)


@acdc.wrong(
    "each edge is tried in the whole model, as if nothing had been cut yet. The search is greedy: "
    "try it in what is left."
)
def in_the_whole_model(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float
) -> Edges:
    away, edges = _away(model, clean, corrupted, metric), all_edges(model)
    return [e for e in edges if away([o for o in edges if o != e]) >= threshold]


@acdc.wrong(
    "the whole distance is held against the threshold. What counts is how much further away this "
    "one cut takes it than the cuts before it: the distance to compare with grows with each cut."
)
def whole_distance(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float
) -> Edges:
    away = _away(model, clean, corrupted, metric)
    return _greedy(all_edges(model)[::-1], away, threshold, against=lambda then, now: then)


@acdc.wrong(
    "an edge is cut where the metric moves by less than the threshold in either direction. A cut "
    "that takes the circuit *nearer* to the model is welcome, however large: no abs around the "
    "difference."
)
def nearer_counts_as_far(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float
) -> Edges:
    away = _away(model, clean, corrupted, metric)
    return _greedy(
        all_edges(model)[::-1], away, threshold, against=lambda then, now: abs(then - now)
    )


@acdc.wrong(
    "a cut that *raises* the metric is taken for harmless. Away from the model is away, up or "
    "down: use `away`, which takes the absolute value."
)
def only_losses_count(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float
) -> Edges:
    away = _away(model, clean, corrupted, metric, signed=True)
    return _greedy(all_edges(model)[::-1], away, threshold, against=_added)


@acdc.wrong("the comparison is turned round: edges that matter are cut and the others stay.")
def cuts_what_matters(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, threshold: float
) -> Edges:
    away = _away(model, clean, corrupted, metric)
    return _greedy(all_edges(model)[::-1], away, -threshold, against=lambda then, now: now - then)


slip(
    acdc,
    "relative_threshold",
    "the threshold was taken as a share of the metric. It is in the metric's units.",
    ("then - now < threshold", "then - now < threshold * abs(float(whole))"),
)


slip(
    acdc,
    "now_renewed_always",
    "`now` is renewed whether or not the edge was cut. Only a cut changes what is left.",
    (
        "if then - now < threshold:\n            left, now = without, then",
        "if then - now < threshold:\n            left = without\n        now = then",
    ),
)


slip(
    acdc,
    "weakest_first",
    "edges are tried in the order of what they cost alone. They go from the last of the list "
    "to the first.",
    (
        "for edge in reversed(edges_of(model)):",
        "for edge in sorted(edges_of(model), key=lambda e: away([o for o in edges_of(model) if "
        "o != e])):",
    ),
)


slip(
    acdc,
    "stops_at_the_first",
    "the search hardly cuts anything: does it stop at the first edge that has to stay, or compare "
    "with something that is 0 at the beginning? Go through the whole list.",
    (
        "if then - now < threshold:\n            left, now = without, then",
        "if then - now < threshold:\n"
        "            left, now = without, then\n"
        "        else:\n"
        "            break",
    ),
)


slip(
    acdc,
    "what_was_cut",
    "these are the edges that were cut. Return what is left.",
    ("return left", "return [e for e in edges_of(model) if e not in left]"),
)


slip(
    acdc,
    "squared_distance",
    "the distances were squared. `away` is in the metric's units.",
    ("then - now < threshold", "then**2 - now**2 < threshold"),
)
