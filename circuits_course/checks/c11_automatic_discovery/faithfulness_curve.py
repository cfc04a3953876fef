"""Exercise `faithfulness_curve`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from torch import Tensor

from circuits_course.checking import Case, Exercise, Tolerance
from circuits_course.checks.c11_automatic_discovery.shared import (
    Edges,
    Scores,
    all_edges,
    pair,
    ranked,
    reads,
    score,
    small_model,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.discovery import edge_attribution

faithfulness_curve = Exercise(
    "faithfulness_curve",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=[
        "First rank all edges, the strongest first. Is -5 weaker or stronger than 2?",
        "A circuit of size k is the first k of the ranking; run_with_edges gives its logits.",
        "sorted(scores, key=lambda edge: -abs(scores[edge])).",
    ],
    tolerance=Tolerance(atol=1e-3, rtol=1e-3),
)


@faithfulness_curve.cases
def _cases() -> Iterator[Case]:
    model, prompts, metric = small_model(), pair(2, 4, 1), reads(2, 1)
    estimates = _shuffled(edge_attribution(model, *prompts, metric))
    yield Case("scores from EAP", model, *prompts, metric, estimates, [0, 3, 10, 20, 37])
    yield Case("sizes from large to small", model, *prompts, metric, estimates, [37, 20, 10])
    deep = small_model(3, 2)
    prompts, metric = pair(3, 6, 2), reads(3, 2, 3)
    scores = _shuffled(edge_attribution(deep, *prompts, metric))
    yield Case("three layers", deep, *prompts, metric, scores, [2, 5, 12, 40, 60])
    other = small_model(2, 2, 1)
    draw = Random(3)
    made_up = {edge: draw.gauss(0, 1) for edge in all_edges(other)}
    yield Case("made-up scores", other, *pair(4, 5, 5), reads(4, 3), made_up, [1, 4, 8, 15])


def _shuffled(scores: Any) -> Scores:
    edges = [tuple(edge) for edge in scores]
    return {edge: scores[edge] for edge in Random(0).sample(edges, len(edges))}


@faithfulness_curve.oracle
def _oracle(
    model: Any,
    clean: Tensor,
    corrupted: Tensor,
    metric: Any,
    scores: Scores,
    sizes: Sequence[int],
) -> list[float]:
    order = ranked(scores, lambda value: -abs(value))
    return _curve(model, clean, corrupted, metric, [list(order[:size]) for size in sizes])


def _curve(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, circuits: Sequence[Edges]
) -> list[float]:
    low, high = float(metric(model(corrupted))), float(metric(model(clean)))
    found = [score(model, clean, corrupted, metric, circuit) for circuit in circuits]
    return [(value - low) / (high - low) for value in found]


def _top(scores: Scores, sizes: Sequence[int], key: Any) -> list[Edges]:
    order = ranked(scores, key)
    return [list(order[:size]) for size in sizes]


@faithfulness_curve.wrong(
    "edges with large positive scores come first and those with large negative ones last. A change "
    "downwards is a strong effect, and mostly the one that matters: rank by abs."
)
def largest_first(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    return _curve(model, clean, corrupted, metric, _top(scores, sizes, lambda x: -x))


@faithfulness_curve.wrong(
    "only edges whose loss lowers the metric come first. The metric's opponents are part of how "
    "the model does it: rank by abs."
)
def helpers_first(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    return _curve(model, clean, corrupted, metric, _top(scores, sizes, lambda x: x))


@faithfulness_curve.wrong(
    "the weakest edges come first. The ranking starts with the largest absolute score."
)
def weakest_first(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    return _curve(model, clean, corrupted, metric, _top(scores, sizes, abs))


@faithfulness_curve.wrong(
    "the strongest edges are cut and the others kept. Faithful is a circuit that does it *alone*: "
    "keep its edges."
)
def circuit_cut(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    order = ranked(scores, lambda value: -abs(value))
    rest = [list(order[size:]) for size in sizes]
    return _curve(model, clean, corrupted, metric, rest)


@faithfulness_curve.wrong(
    "the metric's own values are returned. Put them on the scale from the corrupted run (0) to the "
    "clean one (1)."
)
def in_logits(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    circuits = _top(scores, sizes, lambda x: -abs(x))
    return [score(model, clean, corrupted, metric, circuit) for circuit in circuits]


@faithfulness_curve.wrong(
    "the corrupted run is not taken off: the scale begins at its metric, which is not 0."
)
def without_the_floor(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    high = float(metric(model(clean)))
    values = in_logits(model, clean, corrupted, metric, scores, sizes)
    return [value / high for value in values]


@faithfulness_curve.wrong(
    "edges are taken in the order in which `scores` lists them. Sort them by strength first."
)
def unranked(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    edges = list(scores)
    return _curve(model, clean, corrupted, metric, [edges[:size] for size in sizes])


@faithfulness_curve.wrong("the scale is turned round: 0 is the corrupted run and 1 the clean one.")
def turned_round(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, scores: Scores, sizes: Any
) -> list[float]:
    return [1 - x for x in _oracle(model, clean, corrupted, metric, scores, sizes)]


slip(
    faithfulness_curve,
    "one_edge_more",
    "each circuit has one edge too many: ranked[:size] holds `size` edges.",
    ("ranked[:size]", "ranked[: size + 1]"),
)


slip(
    faithfulness_curve,
    "one_edge_less",
    "each circuit has one edge too few: ranked[:size] holds `size` edges.",
    ("ranked[:size]", "ranked[: size - 1]"),
)


slip(
    faithfulness_curve,
    "kept_between_0_and_1",
    "the shares are kept between 0 and 1. A circuit may do worse than the corrupted run or "
    "more than the clean one, and that is a result.",
    (
        "return [float((metric(logits) - low) / (high - low)) for logits in runs]",
        "return [min(max(float((metric(logits) - low) / (high - low)), 0.0), 1.0) for logits in "
        "runs]",
    ),
)


slip(
    faithfulness_curve,
    "each_edge_for_itself",
    "each circuit holds one edge alone. Keep all edges up to that rank: ranked[:size].",
    ("ranked[:size]", "ranked[size - 1 : size]"),
)


slip(
    faithfulness_curve,
    "sizes_as_they_come",
    "each circuit keeps the edges *after* that rank up to the next size. Keep all from the "
    "strongest on.",
    ("ranked[:size]", "ranked[size // 2 : size]"),
)


slip(
    faithfulness_curve,
    "gain_in_logits",
    "the change from the corrupted run is not divided by what lies between the two runs.",
    (
        "return [float((metric(logits) - low) / (high - low)) for logits in runs]",
        "return [float(metric(logits) - low) for logits in runs]",
    ),
)


slip(
    faithfulness_curve,
    "distances",
    "the distance from the clean run was turned into a share, without its sign. A circuit "
    "may do more than the clean run.",
    (
        "return [float((metric(logits) - low) / (high - low)) for logits in runs]",
        "return [1 - abs(float((high - metric(logits)) / (high - low))) for logits in runs]",
    ),
)


slip(
    faithfulness_curve,
    "prompts_exchanged",
    "clean and corrupted prompts are exchanged in the run: the circuit's edges carry the "
    "clean prompt.",
    ("run_with_edges(model, clean, corrupted,", "run_with_edges(model, corrupted, clean,"),
)


slip(
    faithfulness_curve,
    "embedding_always_kept",
    "edges from the embedding are always kept. A circuit keeps its own edges and corrupts "
    "all others.",
    ("ranked[:size]", 'ranked[:size] + [e for e in ranked[size:] if e[0] == "embed"]'),
)


slip(
    faithfulness_curve,
    "both_ends_of_the_list",
    "half of the edges come from the weak end of the ranking. Take the strongest.",
    ("ranked[:size]", "ranked[: size // 2] + ranked[len(ranked) - (size - size // 2) :]"),
)


slip(
    faithfulness_curve,
    "sizes_sorted",
    "the sizes were sorted. Give one value for each, in their order.",
    (
        "for size in sizes]",
        "for size in sorted(sizes)]",
    ),
)
