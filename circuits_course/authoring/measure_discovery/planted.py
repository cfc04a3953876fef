"""The methods on planted circuits, and on the two-layer model with both kinds of its data."""

from __future__ import annotations

from typing import Any

import torch

from circuits_course import load_model
from circuits_course.authoring.measure_discovery.judge import ALL, Judged, summary
from circuits_course.circuits.discovery import between_heads, edge_effects, induction_task
from circuits_course.circuits.discovery.graph import Edge
from circuits_course.circuits.discovery.tasks import InductionData
from circuits_course.circuits.losses import mean_losses
from circuits_course.data.markov import MarkovAndRepeats, repeated_random_tokens
from circuits_course.errors import CourseError
from circuits_course.mystery import make_planted, planted_edges, planted_task

MODELS = 5  # of each kind of circuit: the independent units
PROMPTS = 16
COSTS = 0.1  # nats that silencing an edge of induction-2l costs, for it to count as true


def mystery_case(mystery: Any, seed: int) -> Judged:
    """A mystery to be solved on some inputs and judged on others."""
    ask, judge = (planted_task(mystery, PROMPTS, seed=2 * seed + i) for i in (0, 1))
    return Judged(mystery.model, planted_edges(mystery), ask, judge)


def by_kind(kind: str) -> dict[str, Any]:
    """A kind of planted circuit, in several fresh models."""
    return measured(_cases(kind))


def _cases(kind: str) -> list[Judged]:
    cases: list[Judged] = []
    seed = 0
    while len(cases) < MODELS:
        seed += 1
        try:
            cases.append(mystery_case(make_planted(kind, 4000 + seed), seed))
        except CourseError:  # too few prompts tell two answers apart
            continue
    return cases


def measured(cases: list[Judged]) -> dict[str, Any]:
    """Every method on every case, with its interval over cases, and controls."""
    methods = {name: summary([c.row(name, method) for c in cases]) for name, method in ALL.items()}
    controls = [row for seed, case in enumerate(cases) for row in case.controls(seed)]
    return {
        "cases": len(cases),
        "true edges": sum(len(case.truth) for case in cases) / len(cases),
        "methods": methods,
        "random": summary(controls),
        "controls": len(controls),
    }


# --- induction-2l -----------------------------------------------------------------------------


def two_layers(data: InductionData) -> dict[str, Any]:
    """induction-2l on repeats, on the chain, or on the chain against repeats."""
    model = load_model("induction-2l")
    truth = true_edges(model, data)
    tasks = [induction_task(model, data, PROMPTS, seed) for seed in range(8)]
    cases = [Judged(model, truth, tasks[i], tasks[i + 1]) for i in range(0, 8, 2)]
    return measured(cases) | {"true": {str(edge): cost for edge, cost in truth.items()}}


def true_edges(model: Any, data: InductionData) -> dict[Edge, float]:
    """Edges between heads whose silence costs the model loss on all tokens, and how much.

    Another measure than the methods get: the loss of whole texts, where they see one answer.
    """
    generator = torch.Generator().manual_seed(77)
    if data == "repeats":
        tokens, first = repeated_random_tokens(64, 20, model.cfg.d_vocab, generator), 21
    else:
        tokens, first = MarkovAndRepeats(model.cfg.d_vocab).chain(64, generator), 1

    def score(logits: torch.Tensor) -> torch.Tensor:
        return -mean_losses(logits, tokens, first + 1).mean()

    costs = edge_effects(model, tokens, None, score)
    return {edge: -costs[edge] for edge in between_heads(costs) if -costs[edge] >= COSTS}
