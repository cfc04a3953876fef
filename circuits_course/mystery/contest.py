"""A contest of methods of discovery: sealed models made on the spot, a budget, and a referee."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from circuits_course.circuits.discovery import (
    DiscoveryTask,
    Edge,
    between_heads,
    precision_recall,
)
from circuits_course.errors import CourseError
from circuits_course.mystery.discovery import planted_edges, planted_task
from circuits_course.mystery.making import make_hiding, make_mystery
from circuits_course.mystery.sealing import Mystery

BUDGET = 40
"""Runs of the model on the task's clean prompts whose arithmetic a method may spend."""

PROMPTS = 16
Discover = Callable[[Any, DiscoveryTask], Iterable[Any]]


class Meter(TorchDispatchMode):
    """Counts the arithmetic of matrix products while it is entered, forwards and backwards.

    with Meter() as meter: ...; then meter.total, in multiplications and additions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.total += count(*args, **kwargs, out_val=out)
        return out


class Round(NamedTuple):
    """What a method found in one model. found: its edges between heads and to the logits.

    precision, recall: against the planted edges; f1: their harmonic mean. cost: the arithmetic it
    took, in runs of the model on the clean prompts.
    """

    found: list[Edge]
    precision: float
    recall: float
    cost: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def cost_of(work: Callable[[], Any], model: Any, tokens: torch.Tensor) -> tuple[Any, float]:
    """What some work returns, and its arithmetic in runs of the model on these tokens."""
    with torch.no_grad(), Meter() as one:
        model(tokens)
    with Meter() as spent:
        result = work()
    return result, spent.total / one.total


def play(discover: Discover, mystery: Mystery, task: DiscoveryTask | None = None) -> Round:
    """One method on one model.

    discover(model, task) returns edges; those from the embedding are left out of the count. Raises
    CourseError where what it returns are no edges.
    """
    task = planted_task(mystery, PROMPTS) if task is None else task
    found, cost = cost_of(lambda: discover(mystery.model, task), mystery.model, task.clean)
    try:
        edges = between_heads([tuple(edge) for edge in found])
    except (TypeError, ValueError, IndexError) as error:
        raise CourseError("A method returns a list of edges: pairs (sender, receiver).") from error
    return Round(edges, *precision_recall(edges, planted_edges(mystery)), cost)


def contest(
    methods: dict[str, Discover], seeds: Iterable[int], *, hiding: bool = False
) -> dict[str, list[Round]]:
    """Methods, by name, on models made from these seeds: three layers, one round for each.

    A seed whose model has fewer layers goes on to the next number. hiding: models whose circuits
    hide from methods that look in one way only.
    """
    make = make_hiding if hiding else make_mystery
    models = [_three_layers(make, seed) for seed in seeds]
    return {name: [play(method, model) for model in models] for name, method in methods.items()}


def _three_layers(make: Callable[[str, int], Mystery], seed: int) -> Mystery:
    mystery = make(f"seed-{seed}", seed)
    return mystery if mystery.model.cfg.n_layers == 3 else _three_layers(make, seed + 1_000_003)
