"""Exercise `edge_attribution`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.shared import (
    SLOPES,
    Scores,
    all_edges,
    pair,
    plain,
    reads,
    small_model,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.discovery import edge_attribution as engine
from circuits_course.circuits.discovery import said_by, slopes_at

edge_attribution = Exercise(
    "edge_attribution",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "Chapter 07's formula, step times slope, for one edge: who makes the step, and where does "
        "the slope have to be taken?",
        "The step is what the sender says on the corrupted prompt minus what it says on the clean "
        "one; the slope is that of the receiver. Both are [batch, pos, d_model].",
        "float((step * slopes[receiver]).sum()).",
    ],
    tolerance=SLOPES,
)

Combine = Callable[[Tensor, Tensor], Tensor]


@edge_attribution.cases
def _cases() -> Iterator[Case]:
    yield Case("two layers of three heads", small_model(), *pair(2, 4, 1), reads(2, 1))
    yield Case("three layers of two heads", small_model(3, 2), *pair(3, 6, 2), reads(3, 2, 3))
    yield Case("four prompts", small_model(2, 2, 1), *pair(4, 5, 5), reads(4, 3))


@edge_attribution.observe
def _as_table(scores: Any, model: Any, *_: Any) -> Any:
    """Scores by edge, in the order of the graph; anything else as it is."""
    if not isinstance(scores, dict):
        return scores
    found = {tuple(edge): value for edge, value in scores.items()}
    known = [edge for edge in all_edges(model) if edge in found]
    return {str(edge): float(found[edge]) for edge in [*known, *(set(found) - set(known))]}


@edge_attribution.oracle
def _oracle(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> dict[str, float]:
    """By the package's engine."""
    return {str(tuple(e)): x for e, x in engine(model, clean, corrupted, metric).items()}


def _scores(
    model: Any,
    clean: Tensor,
    corrupted: Tensor,
    metric: Any,
    *,
    at: Tensor | None = None,
    combine: Combine = lambda step, slope: (step * slope).sum(),
    step: Callable[[Tensor, Tensor], Tensor] = lambda old, new: new - old,
) -> Scores:
    old, new = said_by(model, clean), said_by(model, corrupted)
    slopes = slopes_at(model, clean if at is None else at, metric)
    return {(s, r): float(combine(step(old[s], new[s]), slopes[r])) for s, r in all_edges(model)}


@edge_attribution.wrong(
    "the sign is turned: the edge goes from the clean to the corrupted value, so the step is "
    "corrupted minus clean."
)
def step_backwards(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    return _scores(model, clean, corrupted, metric, step=lambda old, new: old - new)


@edge_attribution.wrong(
    "the slope is taken in the corrupted run. It is the clean run in which the edge is changed, so "
    "the slope belongs there."
)
def slope_at_the_other_end(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    return _scores(model, clean, corrupted, metric, at=corrupted)


@edge_attribution.wrong(
    "the slope is multiplied with what the sender says, not with the step: subtract the clean "
    "output."
)
def value_for_step(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    return _scores(model, clean, corrupted, metric, step=lambda old, new: new)


@edge_attribution.wrong(
    "you took the mean over prompts and positions. The mean over prompts is in the metric's slope "
    "already, and the edge carries all positions at once: sum."
)
def mean_for_sum(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    return _scores(
        model, clean, corrupted, metric, combine=lambda step, slope: (step * slope).sum(-1).mean()
    )


@edge_attribution.wrong(
    "absolute values were taken before the sum: parts that cancel add up. Keep the signs."
)
def signs_lost(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    return _scores(
        model, clean, corrupted, metric, combine=lambda step, slope: (step * slope).abs().sum()
    )


@edge_attribution.wrong("the size of the result was taken. Whether an edge helps or harms is half "
                        "of what is asked: keep the sign.")  # fmt: skip
def size_only(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    found = _scores(model, clean, corrupted, metric)
    return {edge: abs(value) for edge, value in found.items()}


@edge_attribution.wrong(
    "only the last position was counted. The sender speaks at every position, and keys and values "
    "are read at all of them."
)
def last_position_only(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    return _scores(
        model, clean, corrupted, metric, combine=lambda step, slope: (step * slope)[:, -1].sum()
    )


@edge_attribution.wrong(
    "every edge of a sender has the same number: that is attribution to nodes. Take the slope at "
    "the one receiver, not the sum over all that hear the sender."
)
def nodes_for_edges(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    found = _scores(model, clean, corrupted, metric)
    totals = {s: sum(x for (t, _), x in found.items() if t == s) for s, _ in found}
    return {edge: totals[edge[0]] for edge in found}


@edge_attribution.wrong("clean and corrupted are exchanged.")
def prompts_exchanged(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    found = engine(model, corrupted, clean, metric)
    return dict(zip(plain(found), found.values(), strict=True))


@edge_attribution.wrong(
    "these are exact effects, one run for each edge. Asked is the estimate from one gradient."
)
def exact_effects(model: Any, clean: Tensor, corrupted: Tensor, metric: Any) -> Scores:
    from circuits_course.circuits.discovery import edge_effects

    found = edge_effects(model, clean, corrupted, metric)
    return dict(zip(plain(found), found.values(), strict=True))


slip(
    edge_attribution,
    "prompts_averaged",
    "the mean was taken over prompts. The mean over prompts is in the metric's slope already: sum.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step * slopes[receiver]).sum((1, 2)).mean())",
    ),
)


slip(
    edge_attribution,
    "first_prompt_only",
    "only the first prompt was counted: sum over all of them.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step * slopes[receiver])[0].sum())",
    ),
)


slip(
    edge_attribution,
    "product_of_lengths",
    "lengths were multiplied. A step may run across the slope, and then it changes nothing: "
    "multiply entry by entry, then sum.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step.norm(dim=-1) * "
        "slopes[receiver].norm(dim=-1)).sum())",
    ),
)


slip(
    edge_attribution,
    "summed_apart",
    "step and slope were each summed before they were multiplied. Multiply entry by entry first.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step.sum((0, 1)) * slopes[receiver].sum((0, 1))).sum())",
    ),
)


slip(
    edge_attribution,
    "slope_of_the_logits",
    "every edge has the slope at the logits. Take the slope at the one receiver: slopes[receiver].",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        'scores[sender, receiver] = float((step * slopes["logits"]).sum())',
    ),
)


slip(
    edge_attribution,
    "slope_alone",
    "that is the slope, summed. Multiply it by the step.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float(slopes[receiver].sum())",
    ),
)


slip(
    edge_attribution,
    "positions_averaged",
    "the mean was taken over positions. An edge carries something at all of them: sum.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step * slopes[receiver]).sum((0, 2)).mean())",
    ),
)


slip(
    edge_attribution,
    "shares_of_all",
    "each score was divided by the sum of all. Keep the units of the metric.",
    (
        "return scores",
        "total = sum(scores.values())\n    return {edge: x / total for edge, x in scores.items()}",
    ),
)


slip(
    edge_attribution,
    "mean_of_both_slopes",
    "the slopes of the clean and the corrupted run were averaged. Take those of the clean run.",
    (
        "slopes = slopes_at(model, clean, metric)",
        "slopes, there = slopes_at(model, clean, metric), slopes_at(model, corrupted, metric)\n"
        "    slopes = {receiver: (slopes[receiver] + there[receiver]) / 2 for receiver in"
        " slopes}",
    ),
)


slip(
    edge_attribution,
    "rising_slopes_only",
    "slopes below 0 were left out. Keep their signs.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step * slopes[receiver].clamp_min(0)).sum())",
    ),
)


slip(
    edge_attribution,
    "gains_only",
    "only parts above 0 were added up. Add all of them with their signs.",
    (
        "scores[sender, receiver] = float((step * slopes[receiver]).sum())",
        "scores[sender, receiver] = float((step * slopes[receiver]).clamp_min(0).sum())",
    ),
)
