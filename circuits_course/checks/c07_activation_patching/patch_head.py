"""Exercise `patch_head`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    EVERY,
    LOGITS,
    head_patched,
    kept_of_cases,
    pair,
    put,
    run_of_cases,
    whole_model,
)
from circuits_course.checks.inputs import random_model
from circuits_course.circuits.gates import gate_model

patch_head = Exercise(
    "patch_head",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "It is patch_residual with another activation and another axis. A head's output before W_O "
        'is z: utils.get_act_name("z", layer).',
        "z is [batch, pos, head, d_head]. Every prompt and every position, one head.",
        "z[:, :, head] = clean_cache[name][:, :, head] in a hook on the corrupted prompt's run.",
    ],
    tolerance=LOGITS,
)


@patch_head.cases
def _head_cases() -> Iterator[Case]:
    both = gate_model("or"), "11=", "00="
    yield Case("an OR gate whose second head, 0.1, is put back", *both, 0, 1)
    yield Case(
        "an AND gate whose first head, 0.0, is put back", gate_model("and"), "11=", "01=", 0, 0
    )
    yield Case("random prompts, head 2.1", random_model(), *pair(2, 5, 0), 2, 1)
    yield Case("random prompts, head 1.2", random_model(seed=1), *pair(3, 7, 1, first=3), 1, 2)
    yield Case("a model with MLPs and norms, head 0.2", whole_model(), *pair(4, 6, 2), 0, 2)


@patch_head.oracle
def _head_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, EVERY, head)


@patch_head.wrong(
    "clean and corrupted are exchanged: you put the corrupted head into the clean run. That is "
    "noising; asked is denoising. Mind the order of the arguments: clean_prompt comes first."
)
def noised_head(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_oracle(model, corrupt_prompt, clean_prompt, layer, head)


@patch_head.wrong(
    "nothing was patched: these are the corrupted run's logits. Does the hook return z? And does "
    "its name carry the layer?"
)
def head_untouched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return run_of_cases(model, corrupt_prompt)[0]


@patch_head.wrong(
    "these are the clean run's logits: run the corrupted prompt, and take only the head from the "
    "clean one."
)
def whole_clean_run(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return run_of_cases(model, clean_prompt)[0]


@patch_head.wrong(
    "all heads of the layer were replaced. Pick one, on axis 2 of z: [batch, pos, head, d_head]."
)
def whole_layer(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY)


@patch_head.wrong(
    "the head's number stands on the position axis. z is [batch, pos, head, d_head]: write "
    "z[:, :, head]."
)
def head_on_the_position_axis(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, head)


@patch_head.wrong(
    "layer and head are exchanged. Arguments and names give the layer first: 2.1 is head 1 of "
    "layer 2."
)
def layer_for_head(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return _head_oracle(model, clean_prompt, corrupt_prompt, head, layer)


@patch_head.wrong(
    "you patched the last position alone. Heads that work at earlier positions would never be "
    "found: replace all of them."
)
def last_position_only(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, -1, head)


@patch_head.wrong(
    "you patched the attention pattern: where the head looks. What it says there is made of the "
    "corrupted values still. z has both."
)
def pattern_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, head, name="pattern")


@patch_head.wrong(
    "you patched the values v: what the head could move. Where it looks is that of the corrupted "
    "run still. z has both."
)
def values_patched(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int
) -> Tensor:
    return head_patched(model, clean_prompt, corrupt_prompt, layer, EVERY, EVERY, head, name="v")


@patch_head.wrong(
    "the head was set to zero. That is ablation; a patch puts in what the head said on the clean "
    "prompt."
)
def zeroed(model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int) -> Tensor:
    nothing = torch.zeros_like(kept_of_cases(model, corrupt_prompt, "z")[layer])
    return run_of_cases(model, corrupt_prompt, {("z", layer): put(nothing, EVERY, EVERY, head)})[0]


@patch_head.wrong(
    "the clean output was added to the corrupted one. A patch replaces: = and not +=."
)
def head_added(model: Any, clean_prompt: Any, corrupt_prompt: Any, layer: int, head: int) -> Tensor:
    clean, corrupted = (
        kept_of_cases(model, prompt, "z") for prompt in (clean_prompt, corrupt_prompt)
    )
    both = clean[layer] + corrupted[layer]
    return run_of_cases(model, corrupt_prompt, {("z", layer): put(both, EVERY, EVERY, head)})[0]
