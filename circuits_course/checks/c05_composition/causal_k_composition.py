"""Exercise `causal_k_composition`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import hooked, model_of_cases
from circuits_course.checks.inputs import random_tokens
from circuits_course.circuits.composition import CutPath

causal_k_composition = Exercise(
    "causal_k_composition",
    difficulty=4,
    importance=5,
    minutes=12,
    hints=[
        "What the source wrote is in a first, plain run: z @ W_O. What it adds to the target's "
        "keys is that, times the target's W_K.",
        "Take exactly this away from the target's keys, and from nothing else. hook_k is "
        "[batch, pos, head, d_head]: pick the head.",
        "Inside the hook: k[:, :, head] -= written @ model.W_K[target]",
    ],
)


@causal_k_composition.cases
def _cut_cases() -> Iterator[Case]:
    model = model_of_cases(2, 3, 0)
    yield Case("the path from 0.1 to 1.2", model, random_tokens(2, 5), (0, 1), (1, 2))
    yield Case("the path from 0.0 to 1.1", model, random_tokens(3, 6, seed=1), (0, 0), (1, 1))
    deep = model_of_cases(3, 2, 4)
    yield Case("a path past a layer", deep, random_tokens(2, 7, seed=2), (0, 1), (2, 0))
    yield Case("a path between layers 1 and 2", deep, random_tokens(1, 8, seed=3), (1, 0), (2, 1))


def _split_run(model: Any, tokens: Tensor, edits: dict[str, Any], target: tuple[int, int]) -> Any:
    """A run with the inputs of queries, keys and values split, and edits at named hooks of them."""
    before = model.cfg.use_split_qkv_input
    seen: list[Tensor] = []
    layer, head = target
    keep = (f"blocks.{layer}.attn.hook_pattern", lambda p, hook: seen.append(p.clone()))
    model.set_use_split_qkv_input(True)
    try:
        logits = model.run_with_hooks(tokens, fwd_hooks=[*edits.items(), keep])
    finally:
        model.set_use_split_qkv_input(before)
    return CutPath(seen[0][:, head], logits)


def _written(model: Any, tokens: Tensor, source: tuple[int, int]) -> Tensor:
    z = hooked(model, tokens, f"blocks.{source[0]}.attn.hook_z")
    return z[:, :, source[1]] @ model.blocks[source[0]].attn.W_O[source[1]]


def _without(written: Tensor, head: int | slice, sign: float = 1.0) -> Any:
    def edit(x: Tensor, hook: Any) -> Tensor:
        taken = written[:, :, None] if isinstance(head, slice) else written
        x[:, :, head] = x[:, :, head] - sign * taken
        return x

    return edit


def _cut(model: Any, tokens: Tensor, source: Any, target: Any, which: str = "k") -> CutPath:
    name = f"blocks.{target[0]}.attn.hook_{which}_input"
    edit = _without(_written(model, tokens, source), target[1])
    return _split_run(model, tokens, {name: edit}, target)


@causal_k_composition.oracle
def _cut_oracle(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _cut(model, tokens, source, target)


@causal_k_composition.wrong("nothing was cut: this is the model's ordinary run.")
def nothing_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _split_run(model, tokens, {}, target)


@causal_k_composition.wrong(
    "you cut the path into the target's queries. What moves the induction head's target is in its "
    "keys: hook_k and W_K."
)
def queries_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _cut(model, tokens, source, target, "q")


@causal_k_composition.wrong(
    "you cut the path into the target's values: that changes what it moves, and not where it looks."
)
def values_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    return _cut(model, tokens, source, target, "v")


@causal_k_composition.wrong(
    "the keys of every head of the target's layer were changed. Only one path is to be cut: pick "
    "the target's head, on axis 2 of k."
)
def every_target_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    name = f"blocks.{target[0]}.attn.hook_k_input"
    edit = _without(_written(model, tokens, source), slice(None))
    return _split_run(model, tokens, {name: edit}, target)


@causal_k_composition.wrong(
    "you silenced the source altogether. Then everything that depends on it changes; the question "
    "is about this one path: the source's share of the target's keys."
)
def source_silenced(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, source[1]] = 0.0
        return z

    return _split_run(model, tokens, {f"blocks.{source[0]}.attn.hook_z": silence}, target)


@causal_k_composition.wrong(
    "the target's keys are all zero now: embedding, position and every other head were taken away "
    "too. Take away the source's share only."
)
def whole_key_removed(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    def flat(k: Tensor, hook: Any) -> Tensor:
        k[:, :, target[1]] = 0.0
        return k

    return _split_run(model, tokens, {f"blocks.{target[0]}.attn.hook_k": flat}, target)


@causal_k_composition.wrong(
    "the source's share was added once more instead of being taken away: look at the sign."
)
def added_instead(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    name = f"blocks.{target[0]}.attn.hook_k_input"
    edit = _without(_written(model, tokens, source), target[1], sign=-1.0)
    return _split_run(model, tokens, {name: edit}, target)


@causal_k_composition.wrong(
    "the pattern is that of the run before the cut; the logits are right. Read both from the run "
    "with the hook."
)
def pattern_before_the_cut(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    plain = _split_run(model, tokens, {}, target)
    return CutPath(plain.pattern, _cut(model, tokens, source, target).logits)


@causal_k_composition.wrong(
    "the pattern holds every head of the layer: keep the target's, [batch, q, k]."
)
def every_pattern(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    patterns = [
        _split_run(model, tokens, {}, (target[0], head)).pattern
        for head in range(model.cfg.n_heads)
    ]
    cut = _cut(model, tokens, source, target)
    patterns[target[1]] = cut.pattern
    return CutPath(torch.stack(patterns, 1), cut.logits)


@causal_k_composition.wrong(
    "you took away all that the source's layer wrote. Other heads of that layer feed the target "
    "too; pick the source's head, on axis 2 of z."
)
def whole_source_layer(model: Any, tokens: Tensor, source: Any, target: Any) -> CutPath:
    heads = range(model.cfg.n_heads)
    written = torch.stack([_written(model, tokens, (source[0], h)) for h in heads]).sum(0)
    name = f"blocks.{target[0]}.attn.hook_k_input"
    return _split_run(model, tokens, {name: _without(written, target[1])}, target)
