"""Exercise `edge_effect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c10_mystery_circuits.shared import (
    ROUGH,
    TWO_LAYERS,
    kl,
    model_and_prompts,
    planted,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching import path_patch
from circuits_course.mystery.sealing import open_seal

edge_effect = Exercise(
    "edge_effect",
    difficulty=4,
    importance=4,
    minutes=12,
    hints=[
        "Three things: other prompts (tokens.roll(1, dims=0)), the model's own logits, and "
        "path_patch with a metric of your own.",
        "path_patch(model, clean, corrupted, sender, receivers, metric): the metric gets the "
        "patched logits and returns a number. Yours is the divergence of them from the clean "
        "ones.",
        "lambda new: divergence(logits, new). At the end divide by divergence(logits, "
        "model(other)).",
    ],
    tolerance=ROUGH,
)


@edge_effect.cases
def _edge_cases() -> Iterator[Case]:
    model, tokens = model_and_prompts(TWO_LAYERS)
    sender, receiver = open_seal(planted(TWO_LAYERS)).edges[0]
    assert not isinstance(receiver, str)
    unheard = (*receiver[:2], "v")
    yield Case("a path that a planted circuit uses", model, tokens, sender, receiver)
    yield Case("the same heads, through another input", model, tokens, sender, unheard)
    yield Case("a path to the logits", model, tokens, receiver[:2], "logits")
    random, prompts = random_model(3, 4), random_tokens(5, 8)
    yield Case("a random model", random, prompts, (0, 2), (1, 1, "q"))
    yield Case("a random model", random, prompts, (0, 1), "logits")
    yield Case("a random model", random, prompts, (1, 3), (2, 0, "v"))


def _moved(model: Any, tokens: Tensor, other: Tensor, sender: Head, receiver: Any) -> float:
    logits = model(tokens)
    return path_patch(model, tokens, other, sender, receiver, lambda new: kl(logits, new))


@edge_effect.oracle
def _edge_oracle(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    other = torch.cat([tokens[-1:], tokens[:-1]])
    moved = _patched_by_hooks(model, tokens, other, sender, receiver)
    return float(kl(model(tokens), moved) / kl(model(tokens), model(other)))


def _patched_by_hooks(
    model: Any, tokens: Tensor, other: Tensor, sender: Head, receiver: Any
) -> Tensor:
    """Path patching as Wang et al. describe it, the whole model under hooks twice."""
    _, clean = model.run_with_cache(tokens)
    _, source = model.run_with_cache(other)

    def freeze(z: Tensor, hook: Any) -> Tensor:
        z = clean[hook.name].clone()
        if hook.layer() == sender[0]:
            z[:, :, sender[1]] = source[hook.name][:, :, sender[1]]
        return z

    heard: list[Tensor] = []
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    hooks: list[Any] = [(name, freeze) for name in names]
    if receiver == "logits":
        return model.run_with_hooks(tokens, fwd_hooks=hooks)
    layer, head, letter = receiver
    name = f"blocks.{layer}.attn.hook_{letter}"
    listen = (name, lambda value, hook: heard.append(value[:, :, head].clone()))
    model.run_with_hooks(tokens, fwd_hooks=[*hooks, listen])

    def hear(value: Tensor, hook: Any) -> Tensor:
        value = value.clone()
        value[:, :, head] = heard[0]
        return value

    return model.run_with_hooks(tokens, fwd_hooks=[(name, hear)])


def _edge_scale(model: Any, tokens: Tensor) -> float:
    return float(kl(model(tokens), model(tokens.roll(1, 0))))


@edge_effect.wrong(
    "clean and corrupted are exchanged: the run is on `tokens`, the sender speaks as on the other "
    "prompts."
)
def ends_exchanged(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    return _moved(model, tokens.roll(1, 0), tokens, sender, receiver) / _edge_scale(model, tokens)


@edge_effect.wrong(
    "you rolled along the positions, so the other prompt is this one, shifted. Roll the batch: "
    "dims=0."
)
def rolled_positions(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    other = tokens.roll(1, 1)
    moved = _moved(model, tokens, other, sender, receiver)
    return moved / float(kl(model(tokens), model(other)))


@edge_effect.wrong("row i should hear row i - 1: roll by +1, not -1.")
def rolled_back(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    other = tokens.roll(-1, 0)
    moved = _moved(model, tokens, other, sender, receiver)
    return moved / float(kl(model(tokens), model(other)))


@edge_effect.wrong("the result is not divided by how far the other prompts' predictions are away.")
def edge_in_nats(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    return _moved(model, tokens, tokens.roll(1, 0), sender, receiver)


@edge_effect.wrong(
    "that is the sender's direct path to the logits, whatever the receiver. Hand `receiver` to "
    "path_patch."
)
def always_to_logits(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    return _edge_oracle(model, tokens, sender, "logits")


@edge_effect.wrong(
    "that is plain activation patching: everyone downstream hears the sender, not the receiver "
    "alone."
)
def everyone_hears(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    _, source = model.run_with_cache(tokens.roll(1, 0))

    def speak(z: Tensor, hook: Any) -> Tensor:
        z = z.clone()
        z[:, :, sender[1]] = source[hook.name][:, :, sender[1]]
        return z

    name = f"blocks.{sender[0]}.attn.hook_z"
    moved = model.run_with_hooks(tokens, fwd_hooks=[(name, speak)])
    return float(kl(model(tokens), moved)) / _edge_scale(model, tokens)


@edge_effect.wrong("the divergence runs the wrong way: the clean predictions come first.")
def edge_exchanged(model: Any, tokens: Tensor, sender: Head, receiver: Any) -> float:
    logits, other = model(tokens), tokens.roll(1, 0)
    moved = _patched_by_hooks(model, tokens, other, sender, receiver)
    return float(kl(moved, logits) / kl(model(other), logits))


slip(
    edge_effect,
    "prompts_exchanged",
    "the prompts are exchanged: the run is on `tokens`, and the sender's output comes from the "
    "other ones.",
    ("path_patch(model, tokens, other,", "path_patch(model, other, tokens,"),
)


slip(
    edge_effect,
    "divergence_turned",
    "the divergence runs the other way: the model's own predictions come first.",
    ("divergence(logits, new)", "divergence(new, logits)"),
)


slip(
    edge_effect,
    "rows_turned_round",
    "the rows were turned round: row i hears row n - 1 - i. It should hear row i - 1: "
    "tokens.roll(1, dims=0).",
    ("tokens.roll(1, dims=0)", "tokens.flip(0)"),
)


slip(
    edge_effect,
    "divided_the_other_way",
    "the division is by the divergence of these predictions from the others'. It is by that "
    "of the others' from these: the model's own come first.",
    (
        "return float(moved / divergence(logits, model(other)))",
        "return float(moved / divergence(model(other), logits))",
    ),
)


slip(
    edge_effect,
    "near_the_other",
    "this is how far the patched run still is from the other prompts' predictions. Asked is "
    "how far it has moved from these.",
    ("lambda new: divergence(logits, new)", "lambda new: divergence(model(other), new)"),
)


slip(
    edge_effect,
    "one_minus",
    "that is 1 minus the effect.",
    (
        "return float(moved / divergence(logits, model(other)))",
        "return 1 - float(moved / divergence(logits, model(other)))",
    ),
)


slip(
    edge_effect,
    "first_row_for_all",
    "every row hears row 0. Row i hears row i - 1.",
    ("tokens.roll(1, dims=0)", "tokens[:1].expand_as(tokens)"),
)


slip(
    edge_effect,
    "two_rows_back",
    "row i hears row i - 2: roll by one.",
    ("tokens.roll(1, dims=0)", "tokens.roll(2, dims=0)"),
)


slip(
    edge_effect,
    "change_of_the_logits",
    "this is a change of logits. How far predictions move is the divergence.",
    ("lambda new: divergence(logits, new)", "lambda new: (logits - new).abs().mean()"),
)


slip(
    edge_effect,
    "share_of_silence",
    "the division is by what ablating all heads does. Divide by how far the other prompts' "
    "predictions are.",
    (
        "return float(moved / divergence(logits, model(other)))",
        "every = [(la, h) for la in range(model.cfg.n_layers) for h in"
        " range(model.cfg.n_heads)]\n"
        "    return float(moved / divergence(logits, Ablation(model, tokens,"
        ' "mean").logits(every)))',
    ),
)


slip(
    edge_effect,
    "rows_and_positions_rolled",
    "rows and positions were rolled. Roll the rows alone: dims=0.",
    ("tokens.roll(1, dims=0)", "tokens.roll((1, 1), dims=(0, 1))"),
)
