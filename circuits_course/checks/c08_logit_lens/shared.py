"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import Tolerance
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits.lens import residual_states
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

LOOSE = Tolerance(atol=1e-3, rtol=1e-3)


@cache
def normed_model(n_layers: int = 3, seed: int = 0) -> CourseTransformer:
    """A random model with norms, MLPs and b_U whose writes have a mean: centring matters."""
    cfg = CourseConfig(n_layers, 4, 20, 6, 30, 16, d_mlp=28, normalization_type="LNPre", seed=seed)
    model = CourseTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        model.unembed.W_U.add_(normal(1, 30, seed=seed + 1))
        model.unembed.b_U.copy_(normal(30, seed=seed + 2))
    return model.requires_grad_(False)


@cache
def random_states(model: CourseTransformer, seed: int) -> Tensor:
    """States of 40 random sequences of 9 tokens, [state, n, d_model]."""
    return residual_states(model, random_tokens(40, 9, seed=seed)).flatten(1, 2)


def models_to_try() -> Iterator[tuple[str, CourseTransformer]]:
    yield "a model without norm", random_model()
    yield "a model with norms and MLPs", normed_model()
    yield "a model with norms, MLPs and two layers", normed_model(2, seed=5)


def as_tokens(model: Any, prompt: str | Tensor) -> Tensor:
    return model.to_tokens(prompt) if isinstance(prompt, str) else prompt


def activations(model: Any, prompt: str | Tensor) -> dict[str, Tensor]:
    """Every activation of a plain run, without the cache object."""
    seen: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any) -> None:
        seen[hook.name] = value.clone()

    model.run_with_hooks(as_tokens(model, prompt), fwd_hooks=[(lambda name: True, keep)])
    return seen


def _silenced(model: Any, prompt: str | Tensor, first: int) -> Tensor:
    """The logits when the layers from `first` on write nothing: the lens, by brute force."""

    def silence(value: Tensor, hook: Any) -> Tensor:
        return torch.zeros_like(value)

    writes = ("hook_attn_out", "hook_mlp_out")
    names = [
        name
        for name in model.hook_dict
        if name.endswith(writes) and int(name.split(".")[1]) >= first
    ]
    hooks = [(name, silence) for name in names]
    return model.run_with_hooks(as_tokens(model, prompt), fwd_hooks=hooks)[0]


def lens_by_silencing(model: Any, prompt: str | Tensor) -> Tensor:
    return torch.stack([_silenced(model, prompt, first) for first in range(model.cfg.n_layers + 1)])


def every_write(model: Any, prompt: str | Tensor) -> dict[str, Tensor]:
    """Every write at every position, [pos, d_model]."""
    seen = activations(model, prompt)
    writes = {"embed": seen["hook_embed"][0]}
    for layer in range(model.cfg.n_layers):
        for kind in ("attn_out", "mlp_out"):
            name = f"blocks.{layer}.hook_{kind}"
            if name in seen:
                writes[f"{layer}_{kind}"] = seen[name][0]
    return writes


def frozen(model: Any, prompt: str | Tensor, write: Tensor, centre: bool = True) -> Tensor:
    """A write at every position after the final norm with its scale as it was."""
    if not model.cfg.normalization_type:
        return write
    mean = write.mean(-1, keepdim=True) if centre else 0.0
    return (write - mean) / activations(model, prompt)["ln_final.hook_scale"][0]
