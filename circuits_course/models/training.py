"""Train the course's own models, live or from the command line, from recipes that are plain data.

    for step in training.steps(RECIPES["induction-2l"]):
        step.number, step.loss, step.model

The models that ship were made by `train`; `verify` trains one again and compares.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuits_course.models.recipes import Recipe, find_recipe
from circuits_course.models.shipped import WEIGHTS, facts, model_with
from circuits_course.models.transformer import CourseTransformer
from circuits_course.storage import require_writable, write_whole


@dataclass(frozen=True)
class TrainingStep:
    """The model after `number` updates, and its loss (nats) on the batch it sees next."""

    number: int
    loss: float
    model: CourseTransformer


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def steps(recipe: Recipe, *, threads: int | None = None) -> Iterator[TrainingStep]:
    """Train, yielding after each update, step 0 (untrained) included; stop whenever you like.

    On one thread the same recipe gives the same numbers, bit for bit, on the same kind of processor
    and torch. Several threads are quicker where cores are free, and do not repeat their last bits,
    from which the weights drift apart within some hundred steps; the scores agree (`verify`). It
    never takes more threads than torch was given.
    """
    model = CourseTransformer(replace(recipe.config))
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = _optimizer(model, recipe)
    with _threads(min(threads or recipe.threads, torch.get_num_threads())):
        for number in range(recipe.steps + 1):
            with torch.enable_grad():  # notebooks like to switch gradients off
                loss = model(recipe.data.batch(recipe.batch, generator), return_type="loss")
            yield TrainingStep(number, loss.item(), model)
            if number < recipe.steps:
                _update(model, optimizer, loss, recipe, number)


def _optimizer(model: CourseTransformer, recipe: Recipe) -> torch.optim.Optimizer:
    writes: list[Tensor] = []
    others: list[Tensor] = []
    for key, weight in model.named_parameters():
        (writes if key.endswith(("W_V", "W_O", "W_U")) else others).append(weight)
    groups = [
        {"params": writes, "weight_decay": recipe.write_decay},
        {"params": others, "weight_decay": recipe.weight_decay},
    ]
    return torch.optim.AdamW(groups, betas=recipe.betas)


def _update(
    model: CourseTransformer,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    recipe: Recipe,
    number: int,
) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(number)
    optimizer.step()


# -- keeping a run ---------------------------------------------------------------------------


@dataclass
class TrainingRun:
    """What a finished training run leaves: weights at the checkpoints, and its measured history."""

    recipe: Recipe
    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def record(self, step: TrainingStep) -> None:
        """Keep the weights, in float16 but for the last step, and measure the weights as kept."""
        last = step.number == self.recipe.steps
        kept = {
            key: weight.detach().clone() if last else weight.detach().half()
            for key, weight in step.model.named_parameters()
        }
        self.weights.update({f"{step.number}/{key}": weight for key, weight in kept.items()})
        measured = self.recipe.data.measure(model_with(self.recipe.config, kept))
        self.history.append({"step": step.number, "loss": round(step.loss, 4), **measured})


def run(recipe: Recipe, *, until: int | None = None, progress: bool = False) -> TrainingRun:
    """Train, keeping the recipe's checkpoints up to step `until` (default: all)."""
    wanted = set(recipe.checkpoints) | {recipe.steps}
    finished, last = TrainingRun(recipe), recipe.steps if until is None else until
    with _progress_bar(recipe.name, last, progress) as advance:
        for step in steps(recipe):
            advance(step)
            if step.number in wanted:
                finished.record(step)
            if step.number >= last:
                break
    return finished


@contextmanager
def _progress_bar(name: str, total: int, show: bool) -> Iterator[Callable[[TrainingStep], None]]:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    with tqdm(total=total, desc=name, unit="step", disable=not show) as bar:

        def advance(step: TrainingStep) -> None:
            bar.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
            bar.update(step.number - bar.n)

        yield advance


def trained_again(name: str, seed: int) -> CourseTransformer:
    """A course model trained once more by its recipe, from other first weights and other batches.

    The data keep their rules. One run is one draw: what holds in a shipped model alone may be a
    property of its seed. Trains on one thread.
    """
    recipe = find_recipe(name)
    again = replace(recipe, seed=seed, config=replace(recipe.config, seed=seed))
    for step in steps(again, threads=1):
        last = step.model
    return last.requires_grad_(False)


def train(name: str, *, out: Path | str | None = None, progress: bool = False) -> Path:
    """Train a course model from its recipe and write NAME.safetensors and NAME.json into `out`.

    `out` is the current folder unless given. The two files are those that ship, bit for bit, on the
    machine and torch named in the JSON; elsewhere weights drift apart and scores agree (`verify`).
    """
    from safetensors.torch import save

    recipe = find_recipe(name)
    folder = Path.cwd() if out is None else Path(out)
    require_writable(folder)
    finished = run(recipe, progress=progress)
    content = save(finished.weights)
    path = folder / f"{name}.safetensors"
    write_whole(path, content)
    facts = {**describe(finished), "sha256": hashlib.sha256(content).hexdigest()}
    write_whole(folder / f"{name}.json", (json.dumps(facts, indent=1) + "\n").encode())
    return path


def describe(finished: TrainingRun) -> dict[str, Any]:
    """What stands beside the weights: recipe, checkpoints, history, planted truth, machine."""
    recipe = asdict(finished.recipe)
    config, data = recipe.pop("config"), recipe.pop("data")
    for unsaid in ("dtype", "device", *(key for key in config if key.startswith("use_"))):
        config.pop(unsaid)
    return {
        "name": recipe.pop("name"),
        "summary": recipe.pop("summary"),
        "checkpoints": [row["step"] for row in finished.history],
        "final": finished.history[-1],
        "planted": data.get("planted", []),
        "config": config,
        "data": {"kind": type(finished.recipe.data).__name__, **data},
        "recipe": recipe,
        "made_with": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": platform.machine(),
        },
        "history": finished.history,
    }


@dataclass(frozen=True)
class Verification:
    """A shipped model trained once more and compared; differences are the largest, absolute."""

    name: str
    exact: bool
    weight_difference: float
    score_difference: float

    @property
    def reproduced(self) -> bool:
        """Bit for bit, or every measured loss (nats) and score within 0.1 of what shipped."""
        return self.exact or self.score_difference < 0.1


def verify(name: str, *, until: int | None = None, progress: bool = False) -> Verification:
    """Train a shipped model again, up to step `until`, and compare checkpoints with the shipped.

    On another machine or torch the weights differ in the last bits first and visibly later; what
    must then agree are the losses and scores of the final model.
    """
    from safetensors.torch import load_file

    shipped = load_file(WEIGHTS / f"{name}.safetensors")
    again = run(find_recipe(name), until=until, progress=progress)
    weight_difference = max(
        (weight.float() - shipped[key].float()).abs().max().item()
        for key, weight in again.weights.items()
    )
    before = {row["step"]: row for row in facts(name)["history"]}[again.history[-1]["step"]]
    gap = max(
        abs(new - old)
        for new, old in zip(_numbers(again.history[-1]), _numbers(before), strict=True)
    )
    return Verification(name, weight_difference == 0, weight_difference, gap)


def _numbers(measured: Any) -> list[float]:
    """Every number in nested dicts and lists, in order."""
    if isinstance(measured, dict):
        measured = list(measured.values())
    if isinstance(measured, list):
        return [number for part in measured for number in _numbers(part)]
    return [float(measured)]
