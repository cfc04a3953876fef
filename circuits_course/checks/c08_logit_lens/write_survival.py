"""Exercise `write_survival`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.shared import LOOSE, activations, models_to_try
from circuits_course.checks.inputs import normal, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.lens import state_names
from circuits_course.models.config import CourseConfig
from circuits_course.models.transformer import CourseTransformer

write_survival = Exercise(
    "write_survival",
    difficulty=4,
    importance=4,
    minutes=15,
    hints=[
        "Run the prompt with the hook: `with model.hooks(fwd_hooks=[(name, replace)]):` and "
        "run_with_cache inside.",
        "w is what was taken away: the write of the plain run minus the one put in its place, at "
        "the last position.",
        "The share of a state's change that lies along w is (before - after) @ w / (w @ w).",
    ],
    tolerance=LOOSE,
)


@cache
def _copying_then_erasing(erase: float) -> CourseTransformer:
    """Layer 0's head writes the token along other dimensions; layer 1 adds -erase times that."""
    cfg = CourseConfig(n_layers=2, n_heads=1, d_model=8, d_head=4, d_vocab=5, n_ctx=8)
    model = CourseTransformer.blank(cfg)
    unit = torch.eye(8)
    low, high = unit[:, :4], unit[4:]
    model.set_head(0, 0, W_V=low, W_O=high)
    model.set_head(1, 0, W_V=unit[:, 4:], W_O=-erase * high)
    with torch.no_grad():
        model.embed.W_E.copy_(F.pad(normal(5, 4), (0, 4)))
    return model.requires_grad_(False)


def _pair(pos: int, seed: int, d_vocab: int = 30) -> tuple[Tensor, Tensor]:
    prompt = random_tokens(1, pos, d_vocab, seed)
    other = random_tokens(1, pos, d_vocab, seed + 77)
    return prompt, other


@write_survival.cases
def _survival_cases() -> Iterator[Case]:
    one, other = torch.tensor([[1]]), torch.tensor([[2]])
    yield Case("a write that nobody touches", _copying_then_erasing(0.0), one, other, 0)
    yield Case("a write that layer 1 erases", _copying_then_erasing(1.0), one, other, 0)
    yield Case("a write that layer 1 overturns", _copying_then_erasing(1.5), one, other, 0)
    for seed, (what, model) in enumerate(models_to_try()):
        for layer in range(2):
            yield Case(f"layer {layer}, {what}", model, *_pair(5 + seed, seed), layer)


def _last_states(model: Any, tokens: Tensor, *hooks: tuple[str, Any]) -> Tensor:
    seen: list[Tensor] = []

    def keep(value: Tensor, hook: Any) -> None:
        seen.append(value[0, -1].clone())

    kept = [(name, keep) for name in state_names(model)]
    model.run_with_hooks(tokens, fwd_hooks=[*hooks, *kept])
    return torch.stack(seen)


def _survival(
    model: Any, prompt: Tensor, other: Tensor, layer: int, everywhere: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The states before and after the replacement, and what was replaced."""
    name = f"blocks.{layer}.hook_attn_out"
    mine, theirs = (activations(model, tokens)[name] for tokens in (prompt, other))

    def replace(value: Tensor, hook: Any) -> Tensor:
        if everywhere:
            return theirs.clone()
        value[:, -1] = theirs[:, -1]
        return value

    before = _last_states(model, prompt)
    return before, _last_states(model, prompt, (name, replace)), (mine - theirs)[0, -1]


@write_survival.oracle
def _survival_oracle(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return torch.stack(
        [((b - a) * w).sum() / (w * w).sum() for b, a in zip(before, after, strict=True)]
    )


@write_survival.wrong("the sign is turned round: yours is the plain run minus the changed one.")
def changed_minus_plain(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    return -_survival_oracle(model, prompt, other, layer)


@write_survival.wrong(
    "you divided by the length of w once. For a share, divide by w @ w: the length once for the "
    "direction and once for the size."
)
def divided_once(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return (before - after) @ w / w.norm()


@write_survival.wrong("that is a cosine: it forgets how large the change is.")
def cosine(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return F.cosine_similarity(before - after, w.expand_as(before), dim=-1)


@write_survival.wrong(
    "you projected the states of the plain run. Other layers write along w too; only the *change* "
    "when the write is replaced is due to it."
)
def state_projected(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, _, w = _survival(model, prompt, other, layer)
    return before @ w / (w @ w)


@write_survival.wrong(
    "you compared how long the change is, not how much of it lies along w: what later layers add "
    "in other directions is not the write."
)
def lengths(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer)
    return (before - after).norm(dim=-1) / w.norm()


@write_survival.wrong(
    "the write was replaced at every position. Replace the last one's alone: `attn_out[:, -1]`."
)
def replaced_everywhere(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, w = _survival(model, prompt, other, layer, everywhere=True)
    return (before - after) @ w / (w @ w)


@write_survival.wrong(
    "w is the whole write. Only the difference to the other prompt's write was taken away, so that "
    "is what can survive."
)
def whole_write(model: Any, prompt: Tensor, other: Tensor, layer: int) -> Tensor:
    before, after, _ = _survival(model, prompt, other, layer)
    w = activations(model, prompt)[f"blocks.{layer}.hook_attn_out"][0, -1]
    return (before - after) @ w / (w @ w)


slip(
    write_survival,
    "state_zero_missing",
    "the state before any layer is missing: 0, in front of the others.",
    ("torch.cat([share.new_zeros(1), share])", "share"),
)


slip(
    write_survival,
    "states_one_early",
    "every state is one too early: state i + 1 comes after layer i, resid_post.",
    ('run["resid_post", i]', 'run["resid_post", max(i - 1, 0)]'),
)


slip(
    write_survival,
    "divided_by_the_change",
    "you divided by the change's own length. The share is of what was replaced: w @ w.",
    (
        "share = (before - after) @ w / (w @ w)",
        "change = before - after\n"
        "    share = (change @ w / change.pow(2).sum(-1).clamp_min(1e-12))",
    ),
)


slip(
    write_survival,
    "whole_other_prompt",
    "the second run is the other prompt's. Run the prompt itself, with the one write replaced.",
    (
        "_, changed = model.run_with_cache(prompt, names_filter=kept)",
        "_, changed = model.run_with_cache(other, names_filter=kept)",
    ),
)


slip(
    write_survival,
    "size_only",
    "the sign is lost. Where a later layer overturns the write the share is negative.",
    ("share = (before - after) @ w / (w @ w)", "share = ((before - after) @ w / (w @ w)).abs()"),
)


slip(
    write_survival,
    "kept_at_0",
    "what is below 0 was set to 0. A write that is overturned has a negative share.",
    (
        "share = (before - after) @ w / (w @ w)",
        "share = ((before - after) @ w / (w @ w)).clamp_min(0)",
    ),
)


slip(
    write_survival,
    "other_write",
    "w is the other prompt's write. What was replaced is the difference: write minus other write.",
    ("w = (cache[name][:, -1] - theirs)[0]", "w = theirs[0]"),
)


slip(
    write_survival,
    "w_of_the_first_position",
    "w is the difference of the writes at the first position. The write that was replaced "
    "stands at the last.",
    (
        "w = (cache[name][:, -1] - theirs)[0]",
        "w = (cache[name][:, 0] - other_cache[name][:, 0])[0]",
    ),
)


slip(
    write_survival,
    "after_for_change",
    "the changed run's states were projected. What the replacement changes is before minus after.",
    ("share = (before - after) @ w / (w @ w)", "share = after @ w / (w @ w)"),
)


slip(
    write_survival,
    "relative_to_the_first",
    "each share was divided by that right after the layer. Divide by w @ w alone.",
    (
        "share = (before - after) @ w / (w @ w)",
        "share = (before - after) @ w / (w @ w)\n    share = share / share[layer]",
    ),
)


slip(
    write_survival,
    "write_silenced",
    "the write was set to zero in the second run. Put the other prompt's write in its place: "
    "what both have in common is not in question.",
    ("return attn_out\n", "attn_out[:, -1] = 0\n        return attn_out\n"),
)


slip(
    write_survival,
    "root_of_the_share",
    "a root was taken. The share is (change . w) / (w . w).",
    (
        "share = (before - after) @ w / (w @ w)",
        "share = ((before - after) @ w / (w @ w)).clamp_min(0).sqrt()",
    ),
)


slip(
    write_survival,
    "whole_at_the_start",
    "the first state is 1. Before the layer nothing of the write is there: 0.",
    (
        "share.new_zeros(1)",
        "share.new_ones(1)",
    ),
)
