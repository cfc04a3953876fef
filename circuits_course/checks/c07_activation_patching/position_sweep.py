"""Exercise `position_sweep`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.patch_residual import (
    _residual_oracle,
    residual_after_the_layer,
)
from circuits_course.checks.c07_activation_patching.shared import (
    EVERY,
    LOGITS,
    Metric,
    as_tokens,
    residual,
    run_of_cases,
    sweep_inputs,
)

position_sweep = Exercise(
    "position_sweep",
    difficulty=1,
    importance=5,
    minutes=6,
    hints=[
        "Two loops, one call of patch_residual in the middle.",
        "result[layer, position] = metric(patch_residual(...)): the metric of each patched run as "
        "it is, with nothing else patched in that run.",
    ],
    tolerance=LOGITS,
)


@position_sweep.cases
def _position_sweep_cases() -> Iterator[Case]:
    for inputs in sweep_inputs():
        yield Case(*inputs)


def _every_place(model: Any, clean: Any, value: Callable[[int, int], Tensor]) -> Tensor:
    n_pos = as_tokens(model, clean).shape[1]
    rows = [[float(value(la, p)) for p in range(n_pos)] for la in range(model.cfg.n_layers)]
    return torch.tensor(rows)


@position_sweep.oracle
def _position_oracle(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _every_place(
        model,
        clean_prompt,
        lambda la, p: metric(_residual_oracle(model, clean_prompt, corrupt_prompt, la, p)),
    )


@position_sweep.wrong("rows and columns are exchanged: layers are on axis 0, positions on axis 1.")
def positions_down(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _position_oracle(model, clean_prompt, corrupt_prompt, metric).T


@position_sweep.wrong(
    "clean and corrupted are exchanged: you patched corrupted states into the clean run."
)
def noised_positions(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _position_oracle(model, corrupt_prompt, clean_prompt, metric)


@position_sweep.wrong(
    "patches pile up: in your runs all positions up to this one are clean. Each entry belongs to "
    "a run with one patch."
)
def patches_pile_up(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    def value(layer: int, position: int) -> Tensor:
        until = slice(position + 1)
        return metric(residual(model, clean_prompt, corrupt_prompt, layer, EVERY, until))

    return _every_place(model, clean_prompt, value)


@position_sweep.wrong(
    "you subtracted the corrupted run's metric. Return the metric of the patched run as it is; "
    "whoever calls may normalise it."
)
def change_by_position(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    whole = _position_oracle(model, clean_prompt, corrupt_prompt, metric)
    return whole - metric(run_of_cases(model, corrupt_prompt)[0])


@position_sweep.wrong(
    "BOS was left out: positions count it, so there is one column more, the first."
)
def without_bos(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _position_oracle(model, clean_prompt, corrupt_prompt, metric)[:, 1:]


@position_sweep.wrong(
    "every entry is the same number, that of an unpatched run. Measure the logits that "
    "patch_residual returns."
)
def never_patched(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    corrupted = metric(run_of_cases(model, corrupt_prompt)[0])
    return _every_place(model, clean_prompt, lambda la, p: corrupted)


@position_sweep.wrong(
    "layers are off by one: row 0 is the residual stream that enters layer 0, the embedding."
)
def one_layer_late(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _every_place(
        model,
        clean_prompt,
        lambda la, p: metric(residual_after_the_layer(model, clean_prompt, corrupt_prompt, la, p)),
    )
