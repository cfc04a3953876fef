"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking.compare import Tolerance
from circuits_course.checks.inputs import normal, random_model, random_tokens
from circuits_course.circuits.lens import TunedLens, residual_states
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


def maps_of(lens: Any) -> tuple[Tensor, Tensor]:
    weight, bias = (lens.weight, lens.bias) if hasattr(lens, "weight") else lens
    return weight.detach().float(), bias.detach().float()


def through_lens(lens: Any, states: Tensor) -> Tensor:
    weight, bias = maps_of(lens)
    mapped = states[:-1] @ weight.mT + bias.view(len(weight), 1, -1)
    return torch.cat([mapped, states[-1:]])


def held_out(model: Any, lens: Any | None, seed: int) -> Tensor:
    """KL(final || lens) of each map on sequences it was not trained on; the logit lens for None."""
    states = random_states(model, seed + 1000)
    states = states if lens is None else through_lens(lens, states)
    log_q = model.unembed(model.ln_final(states)).double().log_softmax(-1)
    return (log_q[-1].exp() * (log_q[-1] - log_q)).sum(-1)[:-1].mean(-1).float()


def trained_lens(
    model: Any, states: Tensor, start: TunedLens, steps: int, batch: int, lr: float, seed: int
) -> TunedLens:
    """Training as it should be, on the whole vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    weight, bias = start.weight.clone(), start.bias[:, None].clone()
    optimizer = torch.optim.Adam([weight.requires_grad_(), bias.requires_grad_()], lr=lr)
    for _ in range(steps):
        places = torch.randint(states.shape[1], (batch,), generator=generator)
        with torch.enable_grad():
            mapped = states[:-1, places] @ weight.mT + bias
            both = torch.cat([mapped, states[-1:, places]])
            log_q = model.unembed(model.ln_final(both)).log_softmax(-1)
            kl = F.kl_div(log_q[:-1], log_q[-1:].expand_as(log_q[:-1]), reduction="none",
                          log_target=True).sum(-1)  # fmt: skip
            optimizer.zero_grad()
            kl.mean(-1).sum().backward()
        optimizer.step()
    return TunedLens(weight.detach(), bias.detach()[:, 0])


@cache
def within_reach(model: CourseTransformer, seed: int) -> Tensor:
    """KL(final || lens) of each map on held-out sequences after training from the identity."""
    states = random_states(model, seed)
    start = TunedLens.identity(len(states) - 1, states.shape[-1])
    return held_out(model, trained_lens(model, states, start, 60, 64, 0.02, seed), seed)
