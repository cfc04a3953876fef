"""Exercise `contributions_by_component`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.shared import (
    LOOSE,
    every_write,
    frozen,
    models_to_try,
    normed_model,
)
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip

contributions_by_component = Exercise(
    "contributions_by_component",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "A logit is the final norm of a sum of writes, times a column of W_U. If the norm's scale "
        "is taken as given, each write can be divided by it alone.",
        "cache.apply_ln_to_stack(writes, layer=-1, pos_slice=-1) divides by the scale of this run "
        "(and centres where the model's norm does).",
        "The result is [component, 1, d_model]; drop the batch axis and multiply by `direction`.",
    ],
    tolerance=LOOSE,
)


@contributions_by_component.cases
def _contribution_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(models_to_try()):
        prompt = random_tokens(1, 5 + seed, seed=seed)
        yield Case(f"one token, {what}", model, prompt, 3 + seed)
        yield Case(f"two tokens, {what}", model, prompt, 3 + seed, 11)
    yield Case("token 0 as the other", normed_model(), random_tokens(1, 6, seed=8), 4, 0)
    yield Case("a prompt in words", normed_model(), "abcab", 9)


def _direction(model: Any, token: int, other: int | None) -> Tensor:
    column = model.W_U[:, token]
    return column if other is None else column - model.W_U[:, other]


def _bias(model: Any, token: int, other: int | None) -> float:
    return float(model.b_U[token] - (0.0 if other is None else model.b_U[other]))


def _attribution(
    model: Any, prompt: str | Tensor, token: int, other: int | None, position: int = -1,
    centre: bool = True,
) -> dict[str, float]:  # fmt: skip
    direction = _direction(model, token, other)
    values = {
        name: (frozen(model, prompt, write, centre)[position] @ direction).item()
        for name, write in every_write(model, prompt).items()
    }
    return {**values, "bias": _bias(model, token, other)}


@contributions_by_component.oracle
def _contribution_oracle(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, other)


@contributions_by_component.observe
def _as_floats(values: Any, *inputs: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {str(name): float(value) for name, value in values.items()}


@contributions_by_component.wrong(
    'the entry "bias" is b_U: its value at `token`, minus that at `other` if given. Without it the '
    "values do not sum to the logit."
)
def bias_of_zero(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return {**_attribution(model, prompt, token, other), "bias": 0.0}


@contributions_by_component.wrong(
    "each write was normed by itself. Then every write counts as if it were alone, however short "
    "it is, and the sum is no longer the logit. Keep the scale of the whole run."
)
def normed_each(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    direction = _direction(model, token, other)
    values = {
        name: (model.ln_final(write)[-1] @ direction).item()
        for name, write in every_write(model, prompt).items()
    }
    return {**values, "bias": _bias(model, token, other)}


@contributions_by_component.wrong(
    "the writes are not divided by the final norm's scale, so they sum to something larger or "
    "smaller than the logit."
)
def no_scale(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    direction = _direction(model, token, other)
    writes = every_write(model, prompt)
    values = {name: (write[-1] @ direction).item() for name, write in writes.items()}
    return {**values, "bias": _bias(model, token, other)}


@contributions_by_component.wrong(
    "the writes were divided by the scale but not centred. This model's norm subtracts the mean; "
    "apply_ln_to_stack knows which norms do."
)
def not_centred(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, other, centre=False)


@contributions_by_component.wrong("this is the first position; the prediction is at the last.")
def at_first_position(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, other, position=0)


@contributions_by_component.wrong(
    "`other` is ignored. The direction for a difference is W_U[:, token] - W_U[:, other]."
)
def other_ignored(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    return _attribution(model, prompt, token, None)


@contributions_by_component.wrong("the difference is the wrong way round: token minus other.")
def other_minus_token(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    values = _attribution(model, prompt, token, other)
    return values if other is None else {name: -value for name, value in values.items()}


@contributions_by_component.wrong(
    "these are running sums: the states, not the writes. Use decompose_resid, not "
    "accumulated_resid."
)
def running_sums(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    total, sums = 0.0, {}
    for name, value in _attribution(model, prompt, token, other).items():
        total += value
        sums[name] = total
    return sums


@contributions_by_component.wrong(
    "the embedding is missing. The residual stream starts with it, so the logit's sum does too."
)
def without_embedding(
    model: Any, prompt: str | Tensor, token: int, other: int | None = None
) -> dict[str, float]:
    values = _attribution(model, prompt, token, other)
    return {name: value for name, value in values.items() if name != "embed"}


slip(
    contributions_by_component,
    "at_the_first_position",
    "this is the first position. The prediction is made at the last: pos_slice=-1.",
    ("pos_slice=-1, return_labels", "pos_slice=0, return_labels"),
)


slip(
    contributions_by_component,
    "without_the_bias",
    'the bias is missing: an entry "bias", that of b_U.',
    ('[*labels, "bias"], [*values, bias.item()]', "labels, values"),
)


slip(
    contributions_by_component,
    "sizes_only",
    "the signs are lost. A write may lower the logit.",
    ("(normed @ direction)", "(normed @ direction).abs()"),
)


slip(
    contributions_by_component,
    "scale_of_the_first_position",
    "the scale is that of the first position: apply_ln_to_stack wants pos_slice=-1 as "
    "decompose_resid does.",
    (
        "normed = cache.apply_ln_to_stack(writes, layer=-1, pos_slice=-1)[:, 0]",
        "normed = cache.apply_ln_to_stack(writes, layer=-1, pos_slice=0)[:, 0]",
    ),
)


slip(
    contributions_by_component,
    "shares_of_the_logit",
    "each value was divided by the sum of all. Keep logits.",
    (
        "values = (normed @ direction).tolist()",
        "values = ((normed @ direction) / (normed @ direction).sum()).tolist()",
    ),
)


slip(
    contributions_by_component,
    "read_with_W_E",
    "W_E took the place of W_U. Even where a model ties the two, the gain of the final norm "
    "is folded into W_U.",
    (
        "(normed @ direction)",
        "(normed @ (model.W_E[token] if other is None else model.W_E[token] - model.W_E[other]))",
    ),
)


slip(
    contributions_by_component,
    "unit_direction",
    "the direction was made of length 1. Then the values no longer add up to the logit.",
    ("(normed @ direction)", "(normed @ direction / direction.norm())"),
)


slip(
    contributions_by_component,
    "bias_in_every_part",
    'the bias was added to every write. It stands once, under "bias".',
    ("(normed @ direction)", "(normed @ direction + bias)"),
)


slip(
    contributions_by_component,
    "probabilities",
    "a softmax was taken of the values. Keep logits: they add up.",
    ("(normed @ direction)", "(normed @ direction).softmax(0)"),
)


slip(
    contributions_by_component,
    "centred_unembedding",
    "W_U was centred over the vocabulary. Then the values sum to the logit minus the mean of "
    "all logits: take the column as it is.",
    ("(normed @ direction)", "(normed @ (direction - model.W_U.mean(1)))"),
)


slip(
    contributions_by_component,
    "bias_twice",
    "the bias counts twice.",
    ("bias.item()", "2 * bias.item()"),
)


slip(
    contributions_by_component,
    "bias_of_the_token_alone",
    "the bias is that of `token` alone. With `other` it is a difference, like the direction.",
    ("bias - model.b_U[other]", "bias"),
)


slip(
    contributions_by_component,
    "other_token_zero_ignored",
    "`other` = 0 was taken for no token: ask `other is not None`.",
    (
        "if other is not None",
        "if other",
    ),
)
