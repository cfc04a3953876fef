"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits.gates import gate_model
from circuits_course.circuits.patching.stages import Run, stages_of
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

LOGITS = Tolerance(atol=2e-3, rtol=1e-3)  # logits of the case models are of size 1 to 100

Metric = Callable[[Tensor], Tensor]

Swap = Callable[[Tensor], Tensor]

Edits = dict[tuple[str, int], Swap]

Head = tuple[int, int]


@cache
def whole_model(seed: int = 5) -> CourseTransformer:
    """With MLPs and norms, at sizes where each of them leaves a mark."""
    cfg = CourseConfig(
        n_layers=3, n_heads=3, d_model=20, d_head=6, d_vocab=30, n_ctx=16,
        d_mlp=28, normalization_type="LNPre",
    )  # fmt: skip
    model = CourseTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(drawn * (1.5 / weight.shape[-2] ** 0.5 if weight.ndim > 1 else 0.1))
        model.embed.W_E.copy_(normal(30, 20, seed=seed + 1))
        model.pos_embed.W_pos.copy_(normal(16, 20, seed=seed + 2))
    return model.requires_grad_(False)


def pair(batch: int, pos: int, seed: int, first: int = 1) -> tuple[Tensor, Tensor]:
    """Clean and corrupted tokens that agree before position `first`."""
    clean = random_tokens(batch, pos, seed=seed)
    corrupted = random_tokens(batch, pos, seed=seed + 100)
    corrupted[:, :first] = clean[:, :first]
    return clean, corrupted


def as_tokens(model: Any, prompt: Any) -> Tensor:
    return model.to_tokens(prompt) if isinstance(prompt, str) else prompt


def run_of_cases(
    model: Any, prompt: Any, edits: Edits | None = None, keep: tuple[str, ...] = ()
) -> tuple[Tensor, Run]:
    """Logits of a run taken apart into its stages, some of them edited; no hooks, no cache."""
    tokens = as_tokens(model, prompt)
    edits = edits or {}

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        change = edits.get((name, layer))
        return value if change is None else change(value)

    stages = stages_of(model, tokens)
    run = stages.run(tokens, edit, keep=keep)
    return stages.logits(run.resid_final), run


def kept_of_cases(model: Any, prompt: Any, name: str) -> list[Tensor]:
    """One activation of every layer in a plain run."""
    return getattr(run_of_cases(model, prompt, keep=(name,))[1], name)


def put(new: Tensor, *index: Any) -> Swap:
    """Replaces value[index] by new[index]."""

    def change(value: Tensor) -> Tensor:
        value = value.clone()
        value[index] = new[index]
        return value

    return change


EVERY = slice(None)


def residual(model: Any, clean: Any, corrupt: Any, layer: int, *index: Any) -> Tensor:
    new = kept_of_cases(model, clean, "resid_pre")[layer]
    return run_of_cases(model, corrupt, {("resid_pre", layer): put(new, *index)})[0]


class Reads:
    """Mean logit of one token minus another's, at one position."""

    def __init__(self, right: int, wrong: int, position: int = -1) -> None:
        self.right, self.wrong, self.position = right, wrong, position

    def __call__(self, logits: Tensor) -> Tensor:
        read = logits[:, self.position]
        return (read[:, self.right] - read[:, self.wrong]).mean()

    def __repr__(self) -> str:
        return f"logit of token {self.right} minus logit of token {self.wrong}"


def sweep_inputs() -> Iterator[tuple[Any, ...]]:
    yield "an AND gate of two bits", gate_model("and"), "11=", "01=", Reads(2, 1)
    yield "an OR gate of two bits", gate_model("or"), "11=", "00=", Reads(2, 1)
    small = random_model(2, 3, 1)
    yield "random prompts", small, *pair(2, 5, 0), Reads(3, 8)
    yield "three layers of four heads", random_model(), *pair(3, 6, 1, first=2), Reads(11, 5)
    yield "a model with MLPs and norms", whole_model(), *pair(2, 7, 2), Reads(4, 20)


def head_patched(
    model: Any, clean: Any, corrupt: Any, layer: int, *index: Any, name: str = "z"
) -> Tensor:
    new = kept_of_cases(model, clean, name)[layer]
    return run_of_cases(model, corrupt, {(name, layer): put(new, *index)})[0]


def every_head(model: Any, value: Callable[[int, int], Tensor]) -> Tensor:
    layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
    return torch.tensor([[float(value(la, h)) for h in heads] for la in layers])
