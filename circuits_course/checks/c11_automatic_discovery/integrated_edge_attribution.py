"""Exercise `integrated_edge_attribution`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.edge_attribution import _as_table
from circuits_course.checks.c11_automatic_discovery.shared import (
    SLOPES,
    Scores,
    all_edges,
    pair,
    reads,
    small_model,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.discovery import (
    integrated_edge_attribution as engine,
)
from circuits_course.circuits.discovery import said_by, slopes_at

integrated_edge_attribution = Exercise(
    "integrated_edge_attribution",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Only the slopes change. They are taken in several runs, and each run begins with another "
        "embedding: where is it for k = steps, and where would it be for k = 0?",
        "start + k / steps * way, with start the corrupted embeddings and way from there to the "
        "clean ones; k goes from 1 to steps.",
        "For each receiver, the mean of its slopes over the runs: add them up and divide by steps.",
    ],
    tolerance=SLOPES,
)


@integrated_edge_attribution.cases
def _cases() -> Iterator[Case]:
    model = small_model()
    yield Case("three steps", model, *pair(2, 4, 1), reads(2, 1), 3)
    yield Case("one step, which is EAP", model, *pair(2, 4, 1), reads(2, 1), 1)
    yield Case("five steps, three layers", small_model(3, 2), *pair(3, 6, 2), reads(3, 2, 3), 5)
    yield Case("as many steps as are usual", small_model(2, 2, 2), *pair(2, 5, 7), reads(2, 1))
    yield Case("seven steps", small_model(2, 2, 3), *pair(2, 5, 8), reads(2, 5), 7)
    yield Case("two steps", small_model(2, 2, 1), *pair(4, 5, 5), reads(4, 3), 2)


integrated_edge_attribution.observe(_as_table)


@integrated_edge_attribution.oracle
def _oracle(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> dict[str, float]:
    found = engine(model, clean, corrupted, metric, steps)
    return {str(tuple(edge)): value for edge, value in found.items()}


def _along(
    model: Any,
    clean: Tensor,
    corrupted: Tensor,
    metric: Any,
    points: Sequence[float],
    divide_by: float | None = None,
    senders_too: bool = False,
) -> Scores:
    """Scores with slopes from runs at these shares of the way from corrupted to clean."""
    old, new = said_by(model, clean), said_by(model, corrupted)
    start, way = new["embed"], old["embed"] - new["embed"]
    runs = [slopes_at(model, clean, metric, start + share * way) for share in points]
    count = len(points) if divide_by is None else divide_by
    scores: Scores = {}
    for sender, receiver in all_edges(model):
        step = new[sender] - old[sender]
        slope = sum(run[receiver] for run in runs) / count
        scores[sender, receiver] = float((step * slope).sum())
    return scores


@integrated_edge_attribution.wrong(
    "the steps begin at 0 and leave out the clean run: k goes from 1 to steps, and k = steps is "
    "the clean run itself."
)
def begins_at_zero(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> Scores:
    return _along(model, clean, corrupted, metric, [k / steps for k in range(steps)])


@integrated_edge_attribution.wrong(
    "both ends are in, so there are steps + 1 runs. Take k = 1 ... steps."
)
def both_ends(model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5) -> Scores:
    return _along(model, clean, corrupted, metric, [k / steps for k in range(steps + 1)])


@integrated_edge_attribution.wrong(
    "the slopes were added up and not divided: their mean is wanted, so that more steps do not "
    "make larger effects."
)
def not_divided(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> Scores:
    points = [k / steps for k in range(1, steps + 1)]
    return _along(model, clean, corrupted, metric, points, divide_by=1)


@integrated_edge_attribution.wrong(
    "only the last run counted: that is EAP. Average the slopes of all runs."
)
def last_run_only(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> Scores:
    return _along(model, clean, corrupted, metric, [1.0])


@integrated_edge_attribution.wrong(
    "only the run in the middle was taken. Average over all of them."
)
def middle_only(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> Scores:
    return _along(model, clean, corrupted, metric, [0.5])


@integrated_edge_attribution.wrong(
    "the runs lie in the middle of each step. That is a better rule for an integral; the method "
    "asked for takes the ends, k / steps, so that its numbers can be compared with others'."
)
def midpoints(model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5) -> Scores:
    return _along(model, clean, corrupted, metric, [(k + 0.5) / steps for k in range(steps)])


@integrated_edge_attribution.wrong(
    "the sign is turned: the sender's step goes from clean to corrupted, as in EAP, although the "
    "embeddings walk the other way."
)
def step_backwards(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> Scores:
    points = [k / steps for k in range(1, steps + 1)]
    return _along(model, clean, corrupted, metric, points, divide_by=-float(steps))


@integrated_edge_attribution.wrong(
    "one more division: the step k / steps stands for where the run is, not for a weight. Each run "
    "counts the same."
)
def weighted_runs(
    model: Any, clean: Tensor, corrupted: Tensor, metric: Any, steps: int = 5
) -> Scores:
    found = [_along(model, clean, corrupted, metric, [k / steps]) for k in range(1, steps + 1)]
    weights = [k / steps for k in range(1, steps + 1)]
    return {
        edge: sum(w * run[edge] for w, run in zip(weights, found, strict=True)) / steps
        for edge in found[0]
    }


slip(
    integrated_edge_attribution,
    "whole_number_division",
    "k // steps is 0 until the last step, so all runs but one are corrupted. Write k / steps.",
    (
        "runs = [slopes_at(model, clean, metric, start + k / steps * way) for k in range(1, "
        "steps + 1)]",
        "runs = [slopes_at(model, clean, metric, start + k // steps * way) for k in range(1, "
        "steps + 1)]",
    ),
)


slip(
    integrated_edge_attribution,
    "noise_free_steps_squared",
    "the runs lie at (k / steps) squared. Take even steps.",
    (
        "runs = [slopes_at(model, clean, metric, start + k / steps * way) for k in range(1, "
        "steps + 1)]",
        "runs = [slopes_at(model, clean, metric, start + (k / steps) ** 2 * way) for k in "
        "range(1, steps + 1)]",
    ),
)


slip(
    integrated_edge_attribution,
    "divided_by_steps_plus_one",
    "the sum of `steps` runs was divided by steps + 1.",
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = {receiver: sum(run[receiver] for run in runs) / (steps + 1) for receiver in "
        "runs[0]}",
    ),
)


slip(
    integrated_edge_attribution,
    "divided_by_steps_minus_one",
    "the sum of `steps` runs was divided by one less.",
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = {receiver: sum(run[receiver] for run in runs) / max(steps - 1, 1) for "
        "receiver in runs[0]}",
    ),
)


slip(
    integrated_edge_attribution,
    "first_run_only",
    "only the first run counted, the one next to the corrupted. Average the slopes of all runs.",
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = runs[0]",
    ),
)


slip(
    integrated_edge_attribution,
    "largest_slopes",
    "the largest slope of any run was taken. Average them.",
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = {receiver: torch.stack([run[receiver] for run in runs]).amax(0) for receiver "
        "in runs[0]}",
    ),
)


slip(
    integrated_edge_attribution,
    "medians",
    "medians were taken over the runs. Average their slopes.",
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = {receiver: torch.stack([run[receiver] for run in runs]).median(0).values for "
        "receiver in runs[0]}",
    ),
)


slip(
    integrated_edge_attribution,
    "both_ends_averaged",
    "only the two ends were averaged. Average over all steps.",
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = {receiver: (runs[0][receiver] + runs[-1][receiver]) / 2 for receiver in runs[0]}",
    ),
)


slip(
    integrated_edge_attribution,
    "trapezoids",
    "the two ends count half, as in a trapezoid rule. The method asked for takes k = 1 ... "
    "steps, each alike.",
    (
        "runs = [slopes_at(model, clean, metric, start + k / steps * way) for k in range(1, "
        "steps + 1)]",
        "runs = [slopes_at(model, clean, metric, start + k / steps * way) for k in range(steps "
        "+ 1)]",
    ),
    (
        "slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}",
        "slopes = {r: (sum(run[r] for run in runs) - (runs[0][r] + runs[-1][r]) / 2) / steps "
        "for r in runs[0]}",
    ),
)


slip(
    integrated_edge_attribution,
    "always_five_steps",
    "five runs were made whatever `steps` is.",
    (
        "range(1, steps + 1)]",
        "range(1, 6)]",
    ),
    (
        ") / steps for receiver",
        ") / 5 for receiver",
    ),
    (
        "k / steps",
        "k / 5",
    ),
)


slip(
    integrated_edge_attribution,
    "way_from_nothing",
    "the way begins at zero. It begins at the corrupted embeddings.",
    (
        'start, way = corrupted_says["embed"], clean_says["embed"] - corrupted_says["embed"]',
        'start, way = 0 * corrupted_says["embed"], clean_says["embed"]',
    ),
)
