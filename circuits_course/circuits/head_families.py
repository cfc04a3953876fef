"""One large head or many small ones: families of models with equal numbers of parameters.

    for trained in train_head_family("all at once", counts=(1, 4), seeds=(0, 1)):
        trained.n_heads, trained.history, trained.model

Tasks: "induction" (two layers; "induction, longer" trains four times as long), "look-ups" (one
layer, eight jobs asked one at a time) and "all at once" (one layer, four jobs asked together).
`shipped_family` gives those trained beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor

from circuits_course.circuits.behaviours import behaviour_scores
from circuits_course.data.head_jobs import AllAtOnce, LookUps
from circuits_course.data.markov import BOS_TOKEN, MarkovAndRepeats
from circuits_course.data.sequences import repeats_for
from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import CourseConfig
from circuits_course.models.recipes import Recipe
from circuits_course.models.shipped import model_with
from circuits_course.models.training import steps
from circuits_course.models.transformer import CourseTransformer
from circuits_course.storage import file_hash

COUNTS = (1, 2, 4, 8, 32)
SEEDS = (0, 1, 2, 3, 4)
SHIPPED = {
    "induction": COUNTS,
    "induction, longer": (2, 4, 32),
    "look-ups": COUNTS,
    "all at once": COUNTS,
}
"""Task -> the numbers of heads whose models ship, each with every seed."""
EVERY = 10  # steps between two measurements of the loss
FAMILIES = Path(__file__).parent / "measured" / "head_families.json"


@dataclass(frozen=True)
class CopyTask:
    """Repeated random tokens, no two alike within a copy: one job, to predict the second copy."""

    data: MarkovAndRepeats
    period: int = 14
    best: float = 0.0
    steps: int = 500

    @property
    def worst(self) -> float:
        """Loss of guessing evenly, nats."""
        return float(torch.tensor(self.data.d_vocab - 1).log())

    def batch(self, size: int, generator: torch.Generator) -> Int[Tensor, "batch pos"]:
        order = torch.rand(size, self.data.d_vocab - 1, generator=generator).argsort(-1)
        copy = 1 + order[:, : self.period]
        return torch.cat([torch.full((size, 1), BOS_TOKEN), copy, copy], dim=1)

    def loss(
        self, model: CourseTransformer, tokens: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, " job"]:
        """Loss on the second copy after its first token, nats, as a vector of one job."""
        loss = model(tokens, return_type="loss", loss_per_token=True)
        return loss[:, self.period + 1 :].mean()[None]


Task = CopyTask | LookUps | AllAtOnce

_COPIES = MarkovAndRepeats(d_vocab=40, n_ctx=32, periods=(4, 14), repeats_share=0.75)
TASKS: dict[str, Task] = {
    "induction": CopyTask(_COPIES),
    "induction, longer": CopyTask(_COPIES, steps=2000),
    "look-ups": LookUps(),
    "all at once": AllAtOnce(),
}


def find_task(name: str) -> Task:
    """The task of that name; UnknownName with the nearest ones if there is none."""
    if name not in TASKS:
        raise UnknownName("task", name, TASKS)
    return TASKS[name]


def held_out(task: Task, batch: int = 64) -> Int[Tensor, "batch pos"]:
    """Sequences of a task, the same at every call."""
    return task.batch(batch, torch.Generator().manual_seed(1234))


def family_recipe(task: str, n_heads: int, seed: int) -> Recipe:
    """How one member of a family is trained: d_head = d_model / n_heads, all else equal."""
    found = find_task(task)
    copies = isinstance(found, CopyTask)
    data = found.data if isinstance(found, CopyTask) else found
    shape = CourseConfig(
        n_layers=2 if copies else 1, d_vocab=data.d_vocab, n_ctx=data.n_ctx, seed=seed
    )
    if n_heads < 1 or shape.d_model % n_heads:
        raise CourseError(f"{shape.d_model} does not divide into {n_heads} heads; try {COUNTS}.")
    return Recipe(
        name=member_name(task, n_heads, seed),
        summary="one member of a family of equal size",
        config=replace(shape, n_heads=n_heads, d_head=shape.d_model // n_heads),
        data=data,
        weight_decay=0.0 if copies else 0.01,
        write_decay=0.4 if copies else 0.01,  # as induction-2l was trained
        steps=found.steps,
        batch=32,
        seed=seed,
        threads=1,
    )


@dataclass(frozen=True)
class Trained:
    """A finished member of a family.

    history: loss on held-out sequences every `EVERY` steps, nats. births: for "induction" also the
    strongest previous-token and induction score of any head at those steps, on `repeats_for`.
    """

    task: str
    n_heads: int
    seed: int
    history: list[float]
    births: dict[str, list[float]]
    model: CourseTransformer

    @property
    def name(self) -> str:
        return member_name(self.task, self.n_heads, self.seed)

    @property
    def half_way(self) -> int | None:
        """The first step whose loss is half-way from guessing to the best possible; None if none.

        The phase change of the run, to the nearest `EVERY` steps.
        """
        task = find_task(self.task)
        middle = (task.worst + task.best) / 2
        return next((i * EVERY for i, loss in enumerate(self.history) if loss <= middle), None)


def member_name(task: str, n_heads: int, seed: int) -> str:
    return f"{task}, {n_heads} heads, seed {seed}"


def train_member(task: str, n_heads: int, seed: int = 0) -> Trained:
    """Trains one member of a family: ten seconds or so on one thread, more with 32 heads."""
    recipe, found = family_recipe(task, n_heads, seed), find_task(task)
    tokens, history = held_out(found), []
    births: dict[str, list[float]] = {}
    for step in steps(recipe):
        if step.number % EVERY == 0:
            with torch.no_grad():
                history.append(round(found.loss(step.model, tokens).mean().item(), 4))
            for role, strongest in _births(task, step.model).items():
                births.setdefault(role, []).append(strongest)
    return Trained(task, n_heads, seed, history, births, step.model.requires_grad_(False))


def _births(task: str, model: CourseTransformer) -> dict[str, float]:
    """The strongest score of any head for the two roles of an induction circuit."""
    if task != "induction":
        return {}
    scores = behaviour_scores(model, repeats_for(model))
    return {role: round(table.max().item(), 4) for role, table in scores.items()}


def train_head_family(
    task: str, counts: Iterable[int] = COUNTS, seeds: Iterable[int] = SEEDS
) -> Iterator[Trained]:
    """Trains a family: every number of heads with every seed, at equal numbers of parameters."""
    seeds = tuple(seeds)
    for n_heads in counts:
        for seed in seeds:
            yield train_member(task, n_heads, seed)


# -- the families that ship ------------------------------------------------------------------


def shipped_family(
    task: str, counts: Iterable[int] | None = None, seeds: Iterable[int] = SEEDS
) -> list[Trained]:
    """Members of a family that were trained beforehand (`SHIPPED`), weights as kept (float16).

    `python -m circuits_course.authoring.train_head_families` trains all of them again. Raises
    CourseError where the weights are not the ones that shipped.
    """
    find_task(task)
    table = json.loads(FAMILIES.read_text(encoding="utf-8"))
    path = FAMILIES.with_suffix(".safetensors")
    if not path.is_file() or file_hash(path) != table["sha256"]:
        raise CourseError(
            f"{path.name} is missing or not the one that shipped; install the course again, or run "
            f"`{table['command']}`."
        )
    rows = {(row["task"], row["n_heads"], row["seed"]): row for row in table["models"]}
    seeds = tuple(seeds)
    counts = SHIPPED[task] if counts is None else counts
    wanted = [(task, n_heads, seed) for n_heads in counts for seed in seeds]
    if missing := [key for key in wanted if key not in rows]:
        raise CourseError(f"No such member ships: {member_name(*missing[0])}.")
    with safe_open(path, framework="pt") as file:
        return [_shipped(file, rows[key]) for key in wanted]


def _shipped(file: Any, row: dict[str, Any]) -> Trained:
    config = family_recipe(row["task"], row["n_heads"], row["seed"]).config
    name = member_name(row["task"], row["n_heads"], row["seed"])
    keys = [key for key, _ in CourseTransformer.blank(replace(config)).named_parameters()]
    model = model_with(config, {key: file.get_tensor(f"{name}/{key}") for key in keys})
    return Trained(**row, model=model.requires_grad_(False))
