"""Exercise `lenses_of_means`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip
from circuits_course.circuits.lens import TunedLens

lenses_of_means = Exercise(
    "lenses_of_means",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "states.mean(1) is the mean over the places: [state, d_model]. The last row is the mean "
        "final state.",
        "A map is x -> x weight^T + bias. With which weight does x no longer matter?",
        "The shift: weight as it is in `same`, bias the mean final state minus each state's mean.",
    ],
)

Pair = tuple[TunedLens, TunedLens]


@lenses_of_means.cases
def _mean_cases() -> Iterator[Case]:
    one = torch.tensor([[[1.0, 0.0], [3.0, 2.0]], [[5.0, 5.0], [7.0, 1.0]]])
    yield Case("two states at two places, in two dimensions", one)
    far = torch.linspace(0, 4, 90)[None, :, None]  # later places lie elsewhere
    yield Case("many places", normal(3, 90, 4, seed=9) + far)
    for seed in range(3):
        offset = 5 * normal(4 + seed, 1, 3 + seed, seed=seed + 50)
        yield Case("random states", normal(4 + seed, 7 - seed, 3 + seed, seed=seed) + offset)


@lenses_of_means.oracle
def _mean_oracle(states: Tensor) -> dict[str, Tensor]:
    return _as_tensors(_pair(states))


@lenses_of_means.observe
def _as_tensors(lenses: Any, *inputs: Any) -> Any:
    """The numbers of both lenses, whatever holds them."""
    if not isinstance(lenses, tuple | list) or len(lenses) != 2:
        return lenses
    named = zip(("the constant lens", "the shift"), lenses, strict=True)
    return {
        f"{part} of {name}": getattr(lens, part, lens)
        for name, lens in named
        for part in ("weight", "bias")
    }


def _pair(
    states: Tensor, mean: Tensor | None = None, final: Tensor | None = None, sign: float = 1.0
) -> Pair:
    n, d_model = len(states) - 1, states.shape[-1]
    means = states.double().sum(1).div(states.shape[1]).float() if mean is None else mean
    last = means[-1] if final is None else final
    constant = TunedLens(torch.zeros(n, d_model, d_model), torch.stack([last] * n))
    biases = torch.stack([sign * (last - means[i]) for i in range(n)])
    return constant, TunedLens(torch.stack([torch.eye(d_model)] * n), biases)


@lenses_of_means.wrong("the two lenses are exchanged: the constant one comes first.")
def exchanged_lenses(states: Tensor) -> Pair:
    return _pair(states)[::-1]


@lenses_of_means.wrong(
    "the shift goes the wrong way: add what the final mean has and the state's mean lacks."
)
def shift_turned_round(states: Tensor) -> Pair:
    return _pair(states, sign=-1.0)


@lenses_of_means.wrong(
    "the mean ran over the states. Average over the places, axis 1: [state, d_model] is left."
)
def mean_over_states(states: Tensor) -> Pair:
    return _pair(states, states.mean(0)[:1].expand(len(states), -1))


@lenses_of_means.wrong(
    "the bias of the shift is the whole mean final state. What is already in the state's own mean "
    "must not be added once more: subtract it."
)
def shifted_by_the_whole_mean(states: Tensor) -> Pair:
    constant, shift = _pair(states)
    return constant, TunedLens(shift.weight, constant.bias)


@lenses_of_means.wrong(
    "the constant lens keeps the state: its weight is the identity. With weight 0 the state no "
    "longer matters."
)
def constant_keeps_the_state(states: Tensor) -> Pair:
    constant, shift = _pair(states)
    return TunedLens(shift.weight, constant.bias), shift


@lenses_of_means.wrong(
    "the constant lens says each state's own mean. It should say the mean *final* state, which the "
    "model's last norm and unembedding are made for."
)
def own_means(states: Tensor) -> Pair:
    constant, shift = _pair(states)
    return TunedLens(constant.weight, states[:-1].mean(1)), shift


@lenses_of_means.wrong("there is a map for the last state too; that one needs none.")
def map_for_the_last(states: Tensor) -> Pair:
    return _pair(torch.cat([states, states[-1:]]))


@lenses_of_means.wrong(
    "the first place's states were taken for the means. Average over all places, axis 1."
)
def first_place(states: Tensor) -> Pair:
    return _pair(states, states[:, 0])


slip(
    lenses_of_means,
    "shift_forgets_the_state",
    "the shift's weight is 0, so it gives the same for every state. Its weight is the identity.",
    ("TunedLens(same.weight, mean", "TunedLens(torch.zeros_like(same.weight), mean"),
)


slip(
    lenses_of_means,
    "medians",
    "these are medians. The mean over the places is asked for.",
    ("mean = states.mean(1)", "mean = states.median(1).values"),
)


slip(
    lenses_of_means,
    "step_to_the_next",
    "the shift leads to the next state's mean. It leads to the mean *final* state, from "
    "every state at once.",
    (
        "shift = TunedLens(same.weight, mean[-1] - mean[:-1])",
        "shift = TunedLens(same.weight, mean[1:] - mean[:-1])",
    ),
)


slip(
    lenses_of_means,
    "shift_of_state_0",
    "every state is shifted as state 0 is. Each has a mean of its own: mean[-1] - mean[:-1].",
    (
        "shift = TunedLens(same.weight, mean[-1] - mean[:-1])",
        "shift = TunedLens(same.weight, (mean[-1] - mean[:1]).expand_as(same.bias))",
    ),
)


slip(
    lenses_of_means,
    "mean_of_all_states",
    "the constant is the mean over all states. It is the mean of the final one alone.",
    (
        "constant = TunedLens(torch.zeros_like(same.weight), mean[-1:].expand_as(same.bias))",
        "constant = TunedLens(torch.zeros_like(same.weight), mean.mean(0).expand_as(same.bias))",
    ),
)


slip(
    lenses_of_means,
    "last_place",
    "the constant is the final state at the last place. Take the mean over all places.",
    (
        "constant = TunedLens(torch.zeros_like(same.weight), mean[-1:].expand_as(same.bias))",
        "constant = TunedLens(torch.zeros_like(same.weight), states[-1, -1:].expand_as(same.bias))",
    ),
)


slip(
    lenses_of_means,
    "sums",
    "the places were added up: take their mean.",
    ("mean = states.mean(1)", "mean = states.sum(1)"),
)


slip(
    lenses_of_means,
    "shift_from_zero_mean",
    "the shift takes the state's mean away and adds nothing. Add the mean final state.",
    (
        "shift = TunedLens(same.weight, mean[-1] - mean[:-1])",
        "shift = TunedLens(same.weight, -mean[:-1])",
    ),
)


slip(
    lenses_of_means,
    "shift_from_the_mean_state",
    "the shift starts from the mean over all states. Each state has a mean of its own.",
    (
        "shift = TunedLens(same.weight, mean[-1] - mean[:-1])",
        "shift = TunedLens(same.weight, (mean[-1] - mean.mean(0)).expand_as(same.bias))",
    ),
)


slip(
    lenses_of_means,
    "all_but_the_first_place",
    "the first place was left out of the means. Average over all places.",
    ("mean = states.mean(1)", "mean = states[:, 1:].mean(1)"),
)


slip(
    lenses_of_means,
    "zero_constant",
    "the constant lens says 0. Its bias is the mean final state.",
    ("mean[-1:].expand_as(same.bias))", "torch.zeros_like(same.bias))"),
)


slip(
    lenses_of_means,
    "first_places_alone",
    "the mean was taken over some of the places. All n of them count.",
    (
        "mean = states.mean(1)",
        "mean = states[:, :50].mean(1)",
    ),
)
