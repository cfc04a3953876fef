"""Exercise `cut_path`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import hooked, loud_model
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.composition import CutPath

cut_path = Exercise(
    "cut_path",
    difficulty=4,
    importance=5,
    minutes=15,
    hints=[
        "What the source wrote is in a first, plain run: z @ W_O. What it adds to the target's "
        "queries, keys or values is that, times the target's W_Q, W_K or W_V.",
        "Take exactly this away from the target's queries, keys or values, and from nothing else. "
        "What the hook receives is [batch, pos, head, d_head]: pick the head.",
        'W = {"Q": model.W_Q, "K": model.W_K, "V": model.W_V}[kind]; inside the hook: '
        "x[:, :, head] -= written @ W[target]",
    ],
)


@cut_path.cases
def _cut_cases() -> Iterator[Case]:
    two, deep = loud_model(2, 3, 0), loud_model(3, 2, 4)
    short, longer = random_tokens(2, 5), random_tokens(3, 6, seed=1)
    yield Case("keys, the path from 0.1 to 1.2", two, short, (0, 1), (1, 2), "K")
    yield Case("queries, the path from 0.0 to 1.1", two, longer, (0, 0), (1, 1), "Q")
    yield Case("values, the path from 0.2 to 1.0", two, longer, (0, 2), (1, 0), "V")
    tokens = random_tokens(2, 7, seed=2)
    yield Case("queries, a path past a layer", deep, tokens, (0, 1), (2, 0), "Q")
    yield Case("keys, from layer 1 to layer 2", deep, tokens, (1, 0), (2, 1), "K")


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


def _input(target: Any, kind: str) -> str:
    return f"blocks.{target[0]}.attn.hook_{kind.lower()}_input"


def _cut(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    name = _input(target, kind)
    edit = _without(_written(model, tokens, source), target[1])
    return _split_run(model, tokens, {name: edit}, target)


@cut_path.oracle
def _cut_oracle(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    return _cut(model, tokens, source, target, kind)


@cut_path.wrong("nothing was cut: this is the model's ordinary run.")
def nothing_cut(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    return _split_run(model, tokens, {}, target)


@cut_path.wrong(
    "you cut the path into the keys, whatever `kind` says. Q is hook_q and W_Q, K is hook_k and "
    "W_K, V is hook_v and W_V."
)
def always_keys(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    return _cut(model, tokens, source, target, "K")


@cut_path.wrong(
    "queries and keys are exchanged: for Q the write goes out of hook_q, as W_Q reads it, and for "
    "K out of hook_k."
)
def queries_for_keys(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    return _cut(model, tokens, source, target, {"Q": "K", "K": "Q", "V": "V"}[kind])


@cut_path.wrong(
    "all three were cut at once, so the source cannot reach the target at all. Cut only what "
    "`kind` names."
)
def all_three_cut(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    edit = _without(_written(model, tokens, source), target[1])
    return _split_run(model, tokens, {_input(target, k): edit for k in "QKV"}, target)


@cut_path.wrong(
    "every head of the target's layer was changed. Only one path is to be cut: pick the target's "
    "head, on axis 2."
)
def every_target_cut(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    name = _input(target, kind)
    edit = _without(_written(model, tokens, source), slice(None))
    return _split_run(model, tokens, {name: edit}, target)


@cut_path.wrong(
    "you silenced the source altogether. Then everything that depends on it changes; the question "
    "is about one path: the source's share of the target's queries, keys or values."
)
def source_silenced(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    def silence(z: Tensor, hook: Any) -> Tensor:
        z[:, :, source[1]] = 0.0
        return z

    return _split_run(model, tokens, {f"blocks.{source[0]}.attn.hook_z": silence}, target)


@cut_path.wrong(
    "the target's queries, keys or values are all zero now: embedding, position and every other "
    "head were taken away too. Take away the source's share only."
)
def everything_removed(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    def flat(x: Tensor, hook: Any) -> Tensor:
        x[:, :, target[1]] = 0.0
        return x

    return _split_run(model, tokens, {f"blocks.{target[0]}.attn.hook_{kind.lower()}": flat}, target)


@cut_path.wrong(
    "the source's share was added once more instead of being taken away: look at the sign."
)
def added_instead(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    name = _input(target, kind)
    edit = _without(_written(model, tokens, source), target[1], sign=-1.0)
    return _split_run(model, tokens, {name: edit}, target)


@cut_path.wrong(
    "the pattern is that of the run before the cut; the logits are right. Read both from the run "
    "with the hook."
)
def pattern_before_the_cut(
    model: Any, tokens: Tensor, source: Any, target: Any, kind: str
) -> CutPath:
    plain = _split_run(model, tokens, {}, target)
    return CutPath(plain.pattern, _cut(model, tokens, source, target, kind).logits)


@cut_path.wrong("the pattern holds every head of the layer: keep the target's, [batch, q, k].")
def every_pattern(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    patterns = [
        _split_run(model, tokens, {}, (target[0], head)).pattern
        for head in range(model.cfg.n_heads)
    ]
    cut = _cut(model, tokens, source, target, kind)
    patterns[target[1]] = cut.pattern
    return CutPath(torch.stack(patterns, 1), cut.logits)


@cut_path.wrong(
    "you took away all that the source's layer wrote. Other heads of that layer feed the target "
    "too; pick the source's head, on axis 2 of z."
)
def whole_source_layer(model: Any, tokens: Tensor, source: Any, target: Any, kind: str) -> CutPath:
    heads = range(model.cfg.n_heads)
    written = torch.stack([_written(model, tokens, (source[0], h)) for h in heads]).sum(0)
    name = _input(target, kind)
    return _split_run(model, tokens, {name: _without(written, target[1])}, target)


slip(
    cut_path,
    "through_the_sources_weights",
    "what the source wrote went through the source's own matrix. The target reads it through its "
    "own: W[target].",
    ("W[target]", "W[source]"),
)


slip(
    cut_path,
    "position_for_head",
    "x[:, head] is a position. Heads are axis 2: x[:, :, head].",
    ("x[:, :, head] -= written @ W[target]", "x[:, head] -= (written @ W[target])[:, head, None]"),
)


slip(
    cut_path,
    "nothing_but_the_path",
    "everything else is gone and the path alone is left. Take it away: subtract.",
    ("x[:, :, head] -=", "x[:, :, head] ="),
)


slip(
    cut_path,
    "weights_of_another_head",
    "the write went through the matrix of the head that has the source's number. The target "
    "reads it through its own: W[target].",
    ("written @ W[target]", "written @ W[layer, source[1]]"),
)


slip(
    cut_path,
    "last_position_only",
    "the path is cut at the last position alone. Every position reads it: x[:, :, head].",
    ("x[:, :, head] -= written @ W[target]", "x[:, -1, head] -= (written @ W[target])[:, -1]"),
)


slip(
    cut_path,
    "always_through_W_K",
    "the write went through W_K whatever `kind` says. Queries read it through W_Q, values "
    "through W_V.",
    ('{"Q": model.W_Q, "K": model.W_K, "V": model.W_V}[kind]', "model.W_K"),
)


slip(
    cut_path,
    "mean_of_the_write",
    "the write was averaged over positions first, so each position lost the same. Take away "
    "what was written at each.",
    ("x[:, :, head] -= written @ W[target]", "x[:, :, head] -= (written @ W[target]).mean((0, 1))"),
)


slip(
    cut_path,
    "half_of_it",
    "half of the write is still there: take away all of it.",
    ("-= written @ W[target]", "-= 0.5 * (written @ W[target])"),
)


slip(
    cut_path,
    "another_targets_path",
    "the head that has the source's number was cut. It is the target's queries, keys or "
    "values that lose the write.",
    ("x[:, :, head] -= written @ W[target]", "x[:, :, source[1]] -= written @ W[layer, source[1]]"),
)


slip(
    cut_path,
    "gathered_not_written",
    "z is what the source has gathered. What it writes has gone through its W_O, and the "
    "target reads that through its own matrix.",
    ("written @ W[target]", 'cache["z", source[0]][:, :, source[1]]'),
    (
        "_, cache = model.run_with_cache(tokens)\n    written",
        "_, plain = model.run_with_cache(tokens)\n    cache = plain\n    written",
    ),
)


slip(
    cut_path,
    "matrix_of_head_zero",
    "the write went through the matrix of head 0 of the target's layer. The target reads "
    "through its own: W[target].",
    (
        "written @ W[target]",
        "written @ W[layer, 0]",
    ),
)


slip(
    cut_path,
    "head_zero_cut",
    "head 0 of the target's layer was cut: pick the target's, x[:, :, head].",
    (
        "x[:, :, head] -=",
        "x[:, :, 0] -=",
    ),
)


slip(
    cut_path,
    "bos_keeps_it",
    "position 0 still hears the source. Take its write away at every position.",
    (
        "x[:, :, head] -= written @ W[target]",
        "x[:, 1:, head] -= (written @ W[target])[:, 1:]",
    ),
)


slip(
    cut_path,
    "logits_before_the_cut",
    "the logits are those of a run without the hook; the pattern is right. Read both from the "
    "run with it.",
    (
        "        logits, cache = model.run_with_cache(tokens)\n",
        "        _, cache = model.run_with_cache(tokens)\n    logits = model(tokens)\n",
    ),
)


slip(
    cut_path,
    "scaled_write",
    "the write was divided by the root of d_head. Scores are; queries, keys and values are not.",
    (
        "written @ W[target]",
        "written @ W[target] / model.cfg.d_head**0.5",
    ),
)


slip(
    cut_path,
    "write_of_the_first_sequence",
    "the write of the first sequence was taken away from all. Each has its own.",
    (
        "written @ W[target]",
        "(written @ W[target])[:1]",
    ),
)
