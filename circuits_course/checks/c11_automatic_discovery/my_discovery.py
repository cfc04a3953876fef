"""Exercise `my_discovery`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.shared import Edges, all_edges, plain
from circuits_course.circuits import discovery
from circuits_course.mystery.contest import BUDGET, PROMPTS, cost_of
from circuits_course.mystery.discovery import planted_edges, planted_task
from circuits_course.mystery.making import make_mystery
from circuits_course.mystery.sealing import Mystery

ENOUGH = 0.7  # of F1: estimates alone stay below it on two of the models, checked ones above
SEEDS = (3014, 3007, 3011, 3018)  # all of three layers; the last has a backup

my_discovery = Exercise(
    "my_discovery",
    difficulty=5,
    importance=5,
    minutes=25,
    hints=[
        "A gradient is cheap and errs; a patch is exact and dear. What can the cheap one do for "
        "the dear one?",
        "discovery.edge_attribution costs about 6 runs. Take the 20 or 30 strongest edges between "
        "heads: with discovery.edge_effects(model, *task, edges=suspects) they cost less than a "
        "run each.",
        "Keep those whose exact effect is a noticeable share, say a twentieth, of the gap between "
        "clean and corrupted run. Too small a share costs precision, too large a one recall.",
    ],
)


@cache
def _model(seed: int) -> Mystery:
    return make_mystery(f"case-{seed}", seed)


@my_discovery.cases
def _cases() -> Iterator[Case]:
    for number, seed in enumerate(SEEDS, 1):
        mystery = _model(seed)
        yield Case(f"model {number} of {len(SEEDS)}", mystery.model, planted_task(mystery, PROMPTS))


def _planted(model: Any) -> Edges:
    mystery = next(_model(seed) for seed in SEEDS if _model(seed).model is model)
    return plain(planted_edges(mystery))


@my_discovery.observe
def _between_heads(found: Any, model: Any, task: Any) -> list[str]:
    return sorted(map(repr, set(plain(discovery.between_heads(plain(found))))))


@my_discovery.prop
def edges_of_this_model(found: Any, model: Any, task: Any) -> str | None:
    if not isinstance(found, list | tuple | set | dict):
        return f"expected a list of edges, got a {type(found).__name__}"
    known = set(all_edges(model))
    odd = next((e for e in found if not isinstance(e, tuple) or tuple(e) not in known), None)
    return None if odd is None else f"{odd!r} is no edge of this model"


@my_discovery.live_trial
def within_the_budget(attempt: Callable[..., Any], model: Any, task: Any) -> str | None:
    _, cost = cost_of(lambda: attempt(model, task), model, task.clean)
    if cost <= BUDGET:
        return None
    return f"it took the arithmetic of {cost:.0f} runs of the model; {BUDGET} are allowed"


@my_discovery.prop
def finds_the_circuit(found: Any, model: Any, task: Any) -> str | None:
    edges = discovery.between_heads(plain(found))
    precision, recall = discovery.precision_recall(edges, _planted(model))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    if f1 >= ENOUGH:
        return None
    return (
        f"precision {precision:.2f} and recall {recall:.2f} make {f1:.2f}, their harmonic mean; "
        f"{ENOUGH} are needed on each model"
    )


def _strong(scores: Any, task: Any, model: Any, share: float = 0.05) -> Edges:
    """Edges between heads whose score is at least this share of the gap."""
    gap = float(task.metric(model(task.clean)) - task.metric(model(task.corrupted)))
    return [tuple(e) for e, x in scores.items() if e[0] != "embed" and abs(x) > share * gap]


def _tried(model: Any, task: Any, edges: Edges) -> dict[Any, float]:
    return discovery.edge_effects(model, task.clean, task.corrupted, task.metric, edges)


def _estimated(model: Any, task: Any) -> dict[Any, float]:
    return discovery.edge_attribution(model, *task)


@my_discovery.wrong(
    "too much was tried. Let a cheap estimate choose whom to try, and hand all suspects to "
    "edge_effects in one call: each call begins with runs of its own."
)
def every_edge_tried(model: Any, task: Any) -> Edges:
    return _strong(discovery.edge_effects(model, *task), task, model)


@my_discovery.wrong(
    "the estimates were taken at their word. Where a softmax is decided a gradient is almost "
    "nothing, and the edge is missed: use estimates to choose suspects, many of them, and try "
    "these exactly."
)
def estimates_believed(model: Any, task: Any) -> Edges:
    return _strong(_estimated(model, task), task, model)


@my_discovery.wrong(
    "a fixed number of edges was returned, whatever they do. How many there are is part of the "
    "question: keep those with a noticeable effect."
)
def ten_strongest(model: Any, task: Any) -> Edges:
    between = {e: x for e, x in _estimated(model, task).items() if e[0] != "embed"}
    return plain(discovery.strongest_edges(between, 10))


@my_discovery.wrong("every edge of the model was returned: recall is perfect and says nothing.")
def everything(model: Any, task: Any) -> Edges:
    return all_edges(model)


@my_discovery.wrong("no edge between heads, or from a head to the logits, was returned.")
def nothing(model: Any, task: Any) -> Edges:
    return [edge for edge in all_edges(model) if edge[0] == "embed"]


@my_discovery.wrong(
    "only edges to the logits were returned. Heads that work through other heads are found by "
    "their edges into queries, keys and values."
)
def direct_edges_only(model: Any, task: Any) -> Edges:
    to_logits = [e for e in all_edges(model) if e[1] == "logits" and e[0] != "embed"]
    effects = _tried(model, task, to_logits)
    return _strong(effects, task, model)


@my_discovery.wrong(
    "heads are joined through queries, keys and values alike. Each is an edge of its own; name "
    "those that matter."
)
def every_part_of_a_head(model: Any, task: Any) -> Edges:
    suspects = plain(
        discovery.strongest_edges(
            {e: x for e, x in _estimated(model, task).items() if e[0] != "embed"}, 30
        )
    )
    strong = _strong(_tried(model, task, suspects), task, model)

    def heads(edge: Any) -> Any:
        return edge[0], edge[1] if edge[1] == "logits" else edge[1][:2]

    joined = set(map(heads, strong))
    return [edge for edge in all_edges(model) if heads(edge) in joined]
