"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor
from torch.nn.functional import kl_div

from circuits_course.checking.compare import Tolerance
from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching.ablation import Ablation
from circuits_course.mystery.bench import all_heads
from circuits_course.mystery.making import make_mystery
from circuits_course.mystery.sealing import Mystery, open_seal

ROUGH = Tolerance(atol=1e-4, rtol=1e-3)


@cache
def planted(seed: int) -> Mystery:
    return make_mystery("case", seed)


WITH_BACKUP, TWO_LAYERS = 9, 32  # seeds of models whose circuits tell


def model_and_prompts(seed: int, batch: int = 12) -> tuple[Any, Tensor]:
    return planted(seed).model, planted(seed).sample(batch, seed=1)


def heads_of(seed: int) -> dict[str, Head]:
    """Role -> head (the first, if there are several)."""
    return {role: heads[0] for role, heads in open_seal(planted(seed)).heads.items()}


def true_circuit(seed: int) -> list[Head]:
    return [head for heads in open_seal(planted(seed)).heads.values() for head in heads]


def each_kl(logits: Tensor, other: Tensor) -> Tensor:
    """One divergence per position, by torch's own function (q first, in logarithms)."""
    p, q = logits.log_softmax(-1), other.log_softmax(-1)
    return kl_div(q, p, reduction="none", log_target=True).sum(-1)


def kl(logits: Tensor, other: Tensor) -> Tensor:
    return each_kl(logits, other).mean()


def run(model: Any, tokens: Tensor, ablated: Sequence[Head], mode: str = "mean") -> Tensor:
    """Logits with heads ablated, by hooks."""

    def silence(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        for layer, head in ablated:
            if layer == hook.layer():
                z[:, :, head] = clean[hook.name][:, :, head].mean(0) if mode == "mean" else 0.0
        return z

    if mode == "resample":  # a draw like any other that is made with Ablation's seed
        return Ablation(model, tokens, "resample").logits(ablated)
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    clean: dict[str, Tensor] = {}
    keep = [(name, lambda z, hook: clean.update({hook.name: z.clone()})) for name in names]
    model.run_with_hooks(tokens, fwd_hooks=keep)
    return model.run_with_hooks(tokens, fwd_hooks=[(name, silence) for name in names])


def every(model: Any) -> list[Head]:
    return sorted(all_heads(model))


def scale(model: Any, tokens: Tensor, mode: str = "mean") -> Tensor:
    return kl(model(tokens), run(model, tokens, every(model), mode))


def all_but(model: Any, circuit: Sequence[Head]) -> list[Head]:
    return [head for head in every(model) if head not in circuit]


def incomplete(model: Any, tokens: Tensor, one: Any, other: Any, mode: str) -> float:
    """Divergence between two ablated runs, over that of nothing."""
    runs = (run(model, tokens, list(heads), mode) for heads in (one, other))
    return float(kl(*runs) / scale(model, tokens, mode))
