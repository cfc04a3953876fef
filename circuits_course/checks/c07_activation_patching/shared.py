"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checks.inputs import normal, random_tokens
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


def staged_run(
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


def kept_by_layer(model: Any, prompt: Any, name: str) -> list[Tensor]:
    """One activation of every layer in a plain run."""
    return getattr(staged_run(model, prompt, keep=(name,))[1], name)


def put(new: Tensor, *index: Any) -> Swap:
    """Replaces value[index] by new[index]."""

    def change(value: Tensor) -> Tensor:
        value = value.clone()
        value[index] = new[index]
        return value

    return change


EVERY = slice(None)


def residual(model: Any, clean: Any, corrupt: Any, layer: int, *index: Any) -> Tensor:
    new = kept_by_layer(model, clean, "resid_pre")[layer]
    return staged_run(model, corrupt, {("resid_pre", layer): put(new, *index)})[0]


class Reads:
    """Mean logit of one token minus another's, at one position."""

    def __init__(self, right: int, wrong: int, position: int = -1) -> None:
        self.right, self.wrong, self.position = right, wrong, position

    def __call__(self, logits: Tensor) -> Tensor:
        read = logits[:, self.position]
        return (read[:, self.right] - read[:, self.wrong]).mean()

    def __repr__(self) -> str:
        return f"logit of token {self.right} minus logit of token {self.wrong}"


def heads_patched(
    model: Any, clean: Any, corrupt: Any, heads: Any, name: str = "z", positions: Any = EVERY
) -> Tensor:
    """Logits of the corrupted run with one activation of some heads from the clean run."""
    new = kept_by_layer(model, clean, name)
    edits: Edits = {}
    for layer in {layer for layer, _ in heads}:
        here = [head for where, head in heads if where == layer]
        index = (EVERY, here, positions) if name == "pattern" else (EVERY, positions, here)
        edits[name, layer] = put(new[layer], *index)
    return staged_run(model, corrupt, edits)[0]


def heads_oracle(model: Any, clean_prompt: Any, corrupt_prompt: Any, heads: Any) -> Tensor:
    """The corrupted run with the outputs of some heads from the clean run."""
    return heads_patched(model, clean_prompt, corrupt_prompt, heads)


def ablated(model: Any, prompt: Any, instead: list[Tensor], heads: Any) -> Tensor:
    """z replaced by what broadcasts to [batch, pos, head, d_head]."""
    edits: Edits = {}
    n_prompts = len(as_tokens(model, prompt))
    for layer in {layer for layer, _ in heads}:
        here = [head for where, head in heads if where == layer]
        new = instead[layer]
        edits["z", layer] = put(new.expand(n_prompts, *new.shape[1:]), EVERY, EVERY, here)
    return staged_run(model, prompt, edits)[0]


def in_order(clean: Any, corrupt: Any, mode: str) -> tuple[Any, Any]:
    """What is patched from, and what is run."""
    return (clean, corrupt) if mode == "denoising" else (corrupt, clean)


def every_head(model: Any, value: Callable[[int, int], Tensor]) -> Tensor:
    layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
    return torch.tensor([[float(value(la, h)) for h in heads] for la in layers])
