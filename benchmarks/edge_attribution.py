"""All edges of SmolLM2's IOI circuit: estimated by EAP and EAP-IG, beside exact patching.

    python benchmarks/edge_attribution.py [--prompts 8] [--sample 60]

Exact patching runs once for each edge, so a sample is patched, its time scaled up to all edges, and
its ranks (Spearman) and signs held against the estimates. The sample is drawn in two halves: among
all edges, and among the thousand that EAP-IG takes for the strongest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from random import Random

import torch
from scipy.stats import spearmanr

from circuits_course import load_model
from circuits_course.circuits import (
    Edge,
    edge_attribution,
    edge_effects,
    edges_of,
    integrated_edge_attribution,
    ioi_task,
    strongest_edges,
)

STRONG = 1000


def timed(make: Callable[[], dict[Edge, float]]) -> tuple[dict[Edge, float], float, str]:
    """What is made, the seconds, and the same as text beside the processor's time."""
    start, busy = time.perf_counter(), time.process_time()
    made = make()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return made, busy, f"{seconds:.1f} s ({busy:.1f} s of processor time)"


def agreement(estimate: dict[Edge, float], exact: dict[Edge, float]) -> str:
    ours, theirs = [estimate[edge] for edge in exact], list(exact.values())
    sizes = spearmanr([abs(x) for x in ours], [abs(x) for x in theirs]).statistic
    signs = sum((a < 0) == (b < 0) for a, b in zip(ours, theirs, strict=True)) / len(ours)
    return (
        f"rank correlation of sizes {sizes:.2f}, signed {spearmanr(ours, theirs).statistic:.2f}"
        f", same sign {signs:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--sample", type=int, default=60)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    task, edges = ioi_task(model, arguments.prompts, seed=11), edges_of(model)
    print(f"{arguments.model}: {len(edges)} edges, {len(task.clean)} prompts of "
          f"{task.clean.shape[1]} tokens, {torch.get_num_threads()} threads")  # fmt: skip
    edge_effects(model, *task, edges[:1])  # what a model is asked only once
    estimates = {}
    for name, make in {
        "EAP": lambda: edge_attribution(model, *task),
        "EAP-IG, 5 steps": lambda: integrated_edge_attribution(model, *task, 5),
    }.items():
        estimates[name], _, took = timed(make)
        print(f"{name:16} {took}")
    draw, half = Random(0), arguments.sample // 2
    strong = strongest_edges(estimates["EAP-IG, 5 steps"], STRONG)
    for what, sample in {
        "of all edges": draw.sample(edges, half),
        f"of the {STRONG} strongest": draw.sample(strong, half),
    }.items():
        exact, seconds, took = timed(lambda sample=sample: edge_effects(model, *task, sample))
        print(f"exact, {half} {what}: {took}; all edges would take "
              f"{seconds / half * len(edges) / 3600:.1f} h")  # fmt: skip
        for name, estimate in estimates.items():
            print(f"  {name:16} {agreement(estimate, exact)}")


if __name__ == "__main__":
    main()
