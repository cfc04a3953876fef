"""Exercise `knock_out_effect`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.knock_out_losses import _losses_oracle
from circuits_course.checks.c03_previous_token_heads.shared import Head, repeated, text
from circuits_course.checks.c03_previous_token_heads.token_kinds import _kinds_oracle
from circuits_course.checks.inputs import random_model
from circuits_course.checks.references import load_reference
from circuits_course.checks.slips import slip

knock_out_effect = Exercise(
    "knock_out_effect",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=[
        "An effect is a difference: the loss with the heads knocked out, minus the loss of the "
        "whole "
        "model. Which call gives you the second one?",
        "knock_out_losses(model, tokens, []) knocks nothing out. The difference is [batch, pos - "
        "1], "
        "like the masks of token_kinds(tokens); change[mask] are the entries of one kind.",
        "{kind: change[mask].mean().item() for kind, mask in token_kinds(tokens).items() if "
        "mask.any()}",
    ],
)


@knock_out_effect.cases
def _effect_cases() -> Iterator[Case]:
    model = random_model()
    both = torch.cat([repeated(2, 4, seed=1), text(1, 9, seed=2)])
    yield Case("two repeated rows and one of text, head 1.2", model, both, [(1, 2)], "mean")
    yield Case("the same with zeros", model, both, [(1, 2)], "zero")
    yield Case("repeated rows only", model, repeated(3, 5, seed=3), [(0, 1), (2, 2)], "mean")
    yield Case("no heads: changes of 0", model, both, [], "zero")
    yield Case("no mode given", model, repeated(2, 5, seed=7), [(1, 0), (2, 1)])
    yield Case("text only", model, text(4, 8, seed=4), [(0, 0)], "zero")
    yield Case("another model", random_model(2, 5, seed=3),
               torch.cat([text(3, 13, seed=5), repeated(1, 6, seed=6)]),
               [(1, 4), (0, 3), (1, 0)], "mean")  # fmt: skip


def _effect(
    change: Tensor, tokens: Tensor, reduce: Callable[[Tensor], Tensor] = torch.mean
) -> dict[str, float]:
    kinds = _kinds_oracle(tokens)
    return {kind: float(reduce(change[mask])) for kind, mask in kinds.items() if mask.any()}


def _change(model: Any, tokens: Tensor, heads: list[Head], mode: str) -> Tensor:
    return _losses_oracle(model, tokens, heads, mode) - _losses_oracle(model, tokens, [], mode)


@knock_out_effect.oracle
def _effect_oracle(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    return _effect(_change(model, tokens, heads, mode), tokens)


@knock_out_effect.prop
def leaves_absent_kinds_out(
    output: Any, model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> str | None:
    absent = [kind for kind, mask in _kinds_oracle(tokens).items() if not mask.any()]
    extra = [kind for kind in absent if kind in output]
    return f"these tokens hold no {extra[0]}, and yet it has an entry" if extra else None


@knock_out_effect.wrong(
    "a kind that `tokens` has none of should not be there: the mean of nothing is not a number. "
    "Leave out the kinds whose mask is False everywhere."
)
def absent_kinds_kept(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    change = _change(model, tokens, heads, mode)
    return {kind: float(change[mask].mean()) for kind, mask in _kinds_oracle(tokens).items()}


@knock_out_effect.wrong(
    "the sign is turned: a positive effect means that the knock-out made the loss larger, so the "
    "whole model's loss is what you subtract."
)
def sign_turned(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    return _effect(-_change(model, tokens, heads, mode), tokens)


@knock_out_effect.wrong(
    "these are the losses with the heads knocked out. The effect is what the knock-out changed: "
    "subtract the losses of the whole model."
)
def nothing_subtracted(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    return _effect(_losses_oracle(model, tokens, heads, mode), tokens)


@knock_out_effect.wrong("`mode` does not reach knock_out_losses, which then takes the mean.")
def mode_not_passed(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    return _effect(_change(model, tokens, heads, "mean"), tokens)


@knock_out_effect.wrong(
    "every kind has the same number: you averaged over all tokens. Pick the entries of one kind "
    "with its mask, change[mask]."
)
def masks_not_used(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    change = _change(model, tokens, heads, mode)
    return _effect(change, tokens, lambda _: change.mean())


@knock_out_effect.wrong(
    "you multiplied with the mask and averaged over everything, so that tokens of other kinds "
    "count "
    "as zeros. Divide by the number of tokens of the kind: change[mask].mean()."
)
def others_count_as_zero(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    change = _change(model, tokens, heads, mode)
    return _effect(change, tokens, lambda chosen: chosen.sum() / change.numel())


@knock_out_effect.wrong("you summed over the tokens: take their mean, so that kinds compare.")
def effects_summed(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    return _effect(_change(model, tokens, heads, mode), tokens, torch.sum)


@knock_out_effect.wrong(
    "this is the change as a share of the loss. Losses are logarithms already: subtract, and leave "
    "it in nats."
)
def relative_change(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    before = _effect(_losses_oracle(model, tokens, [], mode), tokens)
    change = _effect_oracle(model, tokens, heads, mode)
    return {kind: change[kind] / before[kind] for kind in change}


@knock_out_effect.wrong(
    "these are absolute changes. Where a knock-out makes the loss smaller, its effect is "
    "negative: keep the sign."
)
def changes_without_sign(
    model: Any, tokens: Tensor, heads: list[Head], mode: str = "mean"
) -> dict[str, float]:
    reference = load_reference("03_previous_token_heads")
    losses = [reference.knock_out_losses(model, tokens, some, mode) for some in (heads, [])]
    change = (losses[0] - losses[1]).abs()
    masks = reference.token_kinds(tokens)
    return {kind: float(change[mask].mean()) for kind, mask in masks.items() if mask.any()}


slip(
    knock_out_effect,
    "mean_of_row_means",
    "the change was averaged in each row first. Every token of a kind counts the same.",
    (
        "change[mask].mean().item()",
        "(change * mask).sum(1).div(mask.sum(1).clamp_min(1)).mean().item()",
    ),
)


slip(
    knock_out_effect,
    "as_a_ratio",
    "the losses were divided. The effect is their difference, in nats.",
    (
        "heads, mode) - knock",
        "heads, mode) / knock",
    ),
)


slip(
    knock_out_effect,
    "median_change",
    "that is the median of the change. Asked for is the mean.",
    (
        "change[mask].mean()",
        "change[mask].median()",
    ),
)


slip(
    knock_out_effect,
    "no_change_left_out",
    "a kind was left out because nothing changed. A change of 0 is a result too.",
    (
        "if mask.any()}",
        "if mask.any() and abs(change[mask].mean()) > 1e-3}",
    ),
)
