"""The methods that SmolLM2 affords on its IOI circuit, on templates that they have not seen."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import torch

from circuits_course import load_model
from circuits_course.authoring.measure_discovery.judge import CONTROLS, Judged, summary
from circuits_course.circuits.discovery import (
    METHODS,
    DiscoveryTask,
    Edge,
    edge_effects,
    ioi_task,
    random_scores,
    strongest_edges,
)
from circuits_course.circuits.heads import Head
from circuits_course.circuits.ioi import measured_circuit

MODEL = "smollm2-135m"
FAST = ("EAP", "EAP-IG, 5 steps", "EAP-IG, 20 steps", "nodes")
ASKED, JUDGED = (0, 2, 4, 6), (1, 3, 5, 7)  # templates
PROMPTS, HELD_OUT = 8, 4  # to ask about, and to judge on at once
JUDGES = (4, 5, 6)  # seeds of the prompts that circuits are judged on: the independent units
CIRCUIT = 0.01  # of all edges make the circuit whose heads are compared with the measured ones
STRONG = 1000
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # below, circuits are cut off from the prompt
SAMPLE = 60  # edges that are patched exactly, half of them among the strongest


def _asked(model: Any) -> DiscoveryTask:
    return ioi_task(model, PROMPTS, seed=0, templates=ASKED)


def _judged(model: Any, seed: int) -> Judged:
    return Judged(
        model, [], _asked(model), ioi_task(model, HELD_OUT, seed=seed, templates=JUDGED), SHARES
    )


def method(name: str) -> dict[str, Any]:
    """One method on SmolLM2: areas on held-out prompts, heads against the measured circuit."""
    model = load_model(MODEL)
    start = time.process_time()
    scores = METHODS[name](model, *_asked(model))
    seconds = time.process_time() - start
    rows = summary([_judged(model, seed).areas(scores) for seed in JUDGES])
    return rows | {"heads": heads_found(scores, _roles()), "seconds": seconds}


def controls() -> dict[str, Any]:
    """Random rankings of all edges, on the first of the held-out prompts, and random heads."""
    model = load_model(MODEL)
    case, rows = _judged(model, JUDGES[0]), []
    for seed in range(CONTROLS):
        curve = case.curve(random_scores(case.runs.graph.edges, seed), "size of effect")
        rows.append({"cpr": curve.cpr, "cpr by size": curve.cpr, "cmd": curve.cmd})
    heads = random_heads(model, _roles())
    return summary(rows) | {"controls": CONTROLS, "recall of heads": heads}


# --- heads ------------------------------------------------------------------------------------


def _roles() -> dict[str, set[Head]]:
    classes = measured_circuit(MODEL)["classes"]
    return {role: {_head(text) for text in heads} for role, heads in classes.items()}


def _head(text: str) -> Head:
    layer, head = map(int, text.split("."))
    return layer, head


def heads_found(scores: Mapping[Edge, float], roles: Mapping[str, set[Head]]) -> dict[str, Any]:
    """The heads that send an edge of the circuit, as many as were measured, and their recall.

    Heads are taken in the order of their strongest outgoing edge.
    """
    order: dict[Head, None] = {}
    for edge in strongest_edges(scores, len(scores)):
        if edge.sender != "embed" and edge.sender[1] != "mlp":
            order.setdefault((int(edge.sender[0]), int(edge.sender[1])))
    wanted = set().union(*roles.values())
    found = set(list(order)[: len(wanted)])
    return {"recall": _share(found, wanted)} | {
        role: _share(found, heads) for role, heads in roles.items()
    }


def _share(found: set[Head], wanted: Iterable[Head]) -> float:
    wanted = set(wanted)
    return len(found & wanted) / len(wanted)


def random_heads(model: Any, roles: Mapping[str, set[Head]]) -> list[float]:
    """Recall of as many heads drawn at random: mean, lowest and highest of the draws."""
    wanted = set().union(*roles.values())
    heads = [(layer, h) for layer in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    shares = [_share(set(Random(s).sample(heads, len(wanted))), wanted) for s in range(CONTROLS)]
    return [sum(shares) / len(shares), min(shares), max(shares)]


# --- the estimates themselves -----------------------------------------------------------------


def against_exact() -> dict[str, dict[str, float]]:
    """Rank correlation (Spearman) and signs of estimates and exact effects, on two samples."""
    from scipy.stats import spearmanr

    model, draw = load_model(MODEL), Random(0)
    ask = _asked(model)
    scores = {name: METHODS[name](model, *ask) for name in FAST[:2]}
    edges, strong = list(scores[FAST[0]]), strongest_edges(scores[FAST[1]], STRONG)
    found: dict[str, dict[str, float]] = {name: {} for name in scores}
    for what, among in {"all": edges, f"the strongest {STRONG}": strong}.items():
        exact = edge_effects(model, *ask, draw.sample(among, SAMPLE // 2))
        truth = torch.tensor(list(exact.values()))
        for name, estimate in scores.items():
            ours = torch.tensor([estimate[edge] for edge in exact])
            sizes = spearmanr(ours.abs(), truth.abs()).statistic
            signs = ((ours < 0) == (truth < 0)).float().mean().item()
            found[name] |= {f"sizes, of {what}": float(sizes), f"same sign, of {what}": signs}
    return found
