"""Exercise `head_sweep`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.patch_head import _head_oracle
from circuits_course.checks.c07_activation_patching.shared import (
    EVERY,
    LOGITS,
    Edits,
    Metric,
    every_head,
    head_patched,
    kept_of_cases,
    put,
    run_of_cases,
    sweep_inputs,
)

head_sweep = Exercise(
    "head_sweep",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=[
        "For denoising it is position_sweep with patch_head. For noising: what does patch_head do "
        "when you hand it the prompts in the other order?",
        "result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads), two loops, and "
        "patch_head(model, source, base, layer, head) with source and base chosen by `mode`.",
    ],
    tolerance=LOGITS,
)


@head_sweep.cases
def _head_sweep_cases() -> Iterator[Case]:
    for i, (what, *inputs) in enumerate(sweep_inputs()):
        yield Case(f"{what}, denoising", *inputs, "denoising")
        if i != 3:
            yield Case(f"{what}, noising", *inputs, "noising")


def _in_order(clean: Any, corrupt: Any, mode: str) -> tuple[Any, Any]:
    """What is patched from, and what is run."""
    return (clean, corrupt) if mode == "denoising" else (corrupt, clean)


@head_sweep.oracle
def _head_sweep_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    source, base = _in_order(clean_prompt, corrupt_prompt, mode)
    return every_head(model, lambda la, h: metric(_head_oracle(model, source, base, la, h)))


@head_sweep.wrong("`mode` is not used: both directions give the denoising sweep.")
def always_denoising(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    return _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric)


@head_sweep.wrong(
    "the two directions are exchanged. Denoising runs the corrupted prompt and puts clean outputs "
    "in; noising runs the clean prompt and puts corrupted outputs in."
)
def directions_exchanged(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    return _head_sweep_oracle(model, corrupt_prompt, clean_prompt, metric, mode)


@head_sweep.wrong("rows and columns are exchanged: layers are on axis 0, heads on axis 1.")
def heads_down(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    return _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric, mode).T


@head_sweep.wrong(
    "you subtracted the unpatched run's metric. Return the metric of the patched run as it is."
)
def change_by_head(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    _, base = _in_order(clean_prompt, corrupt_prompt, mode)
    whole = _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric, mode)
    return whole - metric(run_of_cases(model, base)[0])


@head_sweep.wrong(
    "noising was computed from denoising, as if what a head restores were what its loss costs. "
    "Gates show that the two differ: run it."
)
def noising_from_denoising(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    restored = _head_sweep_oracle(model, clean_prompt, corrupt_prompt, metric)
    if mode == "denoising":
        return restored
    ends = [metric(run_of_cases(model, prompt)[0]) for prompt in (clean_prompt, corrupt_prompt)]
    return ends[0] + ends[1] - restored


@head_sweep.wrong(
    "patches pile up: heads patched earlier in the loop are still patched. Each entry belongs to a "
    "run with one patched head."
)
def heads_pile_up(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    source, base = _in_order(clean_prompt, corrupt_prompt, mode)
    z = kept_of_cases(model, source, "z")

    def value(layer: int, head: int) -> Tensor:
        edits: Edits = {("z", la): put(z[la]) for la in range(layer)}
        edits["z", layer] = put(z[layer], EVERY, EVERY, slice(head + 1))
        return metric(run_of_cases(model, base, edits)[0])

    return every_head(model, value)


@head_sweep.wrong("the heads of a layer are patched together, so each row holds one number.")
def layers_at_once(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, mode: str = "denoising"
) -> Tensor:
    source, base = _in_order(clean_prompt, corrupt_prompt, mode)
    return every_head(model, lambda la, h: metric(head_patched(model, source, base, la, EVERY)))
