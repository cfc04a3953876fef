"""Exercise `attribution_patch`."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    Edits,
    Metric,
    Reads,
    every_head,
    heads_oracle,
    kept_by_layer,
    pair,
    staged_run,
    whole_model,
)
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.circuits.gates import gate_model
from circuits_course.models.transformer import CourseTransformer

attribution_patch = Exercise(
    "attribution_patch",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "For a small step, the metric changes by step times slope. The step of a patch is clean z "
        "minus corrupted z; the slope is the gradient, taken where the step starts.",
        "Multiply entry by entry: clean z, corrupted z and gradient are [batch, pos, head, "
        "d_head]. Which axes are summed so that one number is left for each head?",
        "((clean_cache[name] - corrupt_z[name].detach()) * gradient).sum((0, 1, 3)) is one layer; "
        "stack the layers.",
    ],
    tolerance=Tolerance(atol=2e-4, rtol=2e-3),
)


@attribution_patch.cases
def _attribution_cases() -> Iterator[Case]:
    yield Case("an OR gate that lacks both bits", gate_model("or"), "11=", "00=", Reads(2, 1))
    yield Case("a random model", random_model(2, 3, 1), *pair(2, 5, 0), Reads(3, 8))
    yield Case("three layers of four heads", random_model(), *pair(3, 6, 1), Reads(11, 5))
    yield Case("a model with MLPs and norms", whole_model(), *pair(2, 7, 2), Reads(4, 20))


@cache
def _precise(model: CourseTransformer) -> CourseTransformer:
    """The same model in float64, in which small differences keep their digits."""
    return deepcopy(model).double()


def _slope(
    model: Any, clean: Any, corrupt: Any, metric: Metric, layer: int, head: int, *, at: float = 0.0
) -> Tensor:
    """Change of the metric for a small step from corrupted (0) to clean (1), per unit of step."""
    model = _precise(model)
    old, new = (kept_by_layer(model, prompt, "z")[layer][:, :, head] for prompt in (corrupt, clean))
    step = 1e-4

    def value(share: float) -> Tensor:
        def change(z: Tensor) -> Tensor:
            z = z.clone()
            z[:, :, head] += share * (new - old)
            return z

        return metric(staged_run(model, corrupt, {("z", layer): change})[0])

    return (value(at + step) - value(at - step)) / (2 * step)


@attribution_patch.oracle
def _attribution_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    return every_head(
        model, lambda la, h: _slope(model, clean_prompt, corrupt_prompt, metric, la, h)
    )


def _parts(model: Any, clean: Any, corrupt: Any, metric: Metric) -> list[tuple[Tensor, ...]]:
    """Clean z, corrupted z and the gradient there, by layer."""
    leaves: list[Tensor] = []

    def with_leaf(z: Tensor) -> Tensor:
        leaves.append(torch.zeros_like(z, requires_grad=True))
        return z + leaves[-1]

    with torch.enable_grad():
        edits: Edits = {("z", layer): with_leaf for layer in range(model.cfg.n_layers)}
        value = metric(staged_run(model, corrupt, edits)[0])
        gradients = torch.autograd.grad(value, leaves)
    return list(
        zip(
            kept_by_layer(model, clean, "z"),
            kept_by_layer(model, corrupt, "z"),
            gradients,
            strict=True,
        )
    )


@attribution_patch.wrong(
    "the sign is turned: the step goes from corrupted to clean, so clean z comes first."
)
def step_backwards(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return -_attribution_oracle(model, clean_prompt, corrupt_prompt, metric)


@attribution_patch.wrong(
    "the gradient is taken in the clean run. The step starts in the corrupted run, so the slope "
    "belongs there."
)
def slope_at_the_other_end(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    return -_attribution_oracle(model, corrupt_prompt, clean_prompt, metric)


@attribution_patch.wrong(
    "the prompts are exchanged: that estimates noising, the corrupted head in the clean run."
)
def noising_estimated(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    return _attribution_oracle(model, corrupt_prompt, clean_prompt, metric)


@attribution_patch.wrong(
    "you took means over prompts and positions. The metric's gradient has the mean over prompts in "
    "it already, and a patch changes all positions at once: sum."
)
def means_for_sums(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope).mean((0, 1)).sum(-1) for new, old, slope in parts])


@attribution_patch.wrong(
    "absolute values were taken before the sum, so opposite contributions add up instead of "
    "cancelling. A patch makes all changes at once, with their signs."
)
def signs_lost(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope).abs().sum((0, 1, 3)) for new, old, slope in parts])


@attribution_patch.wrong(
    "the clean z is multiplied with the gradient, not the step to it: subtract the corrupted z."
)
def value_for_step(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([(new * slope).sum((0, 1, 3)) for new, old, slope in parts])


@attribution_patch.wrong("the last position alone was counted: sum over all positions (axis 1).")
def last_position_counted(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope)[:, -1].sum((0, 2)) for new, old, slope in parts])


@attribution_patch.wrong(
    "these are exact changes, one run for each head. Asked is the estimate from one gradient."
)
def exact_changes(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    start = metric(staged_run(model, corrupt_prompt)[0])
    return every_head(
        model,
        lambda la, h: metric(heads_oracle(model, clean_prompt, corrupt_prompt, [(la, h)])) - start,
    )


@attribution_patch.wrong(
    "the corrupted run's metric was added. Return the estimated *change*, without it."
)
def value_for_change(model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric) -> Tensor:
    change = _attribution_oracle(model, clean_prompt, corrupt_prompt, metric)
    return change + metric(staged_run(model, corrupt_prompt)[0])


@attribution_patch.wrong(
    "an axis too many was kept, or positions took the place of heads: z is [batch, pos, head, "
    "d_head], and what is kept is axis 2."
)
def positions_for_heads(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric
) -> Tensor:
    parts = _parts(model, clean_prompt, corrupt_prompt, metric)
    return torch.stack([((new - old) * slope).sum((0, 2, 3)) for new, old, slope in parts])


slip(
    attribution_patch,
    "clean_run_twice",
    "both runs are clean, so nothing lies between them. The gradient is the corrupted run's.",
    ("model.run_with_hooks(corrupt_prompt", "model.run_with_hooks(clean_prompt"),
)


slip(
    attribution_patch,
    "corrupted_for_step",
    "the corrupted z stands in place of the step. The step goes from there to the clean z: clean "
    "minus corrupted.",
    ("clean_cache[name] - corrupt_z[name].detach()", "corrupt_z[name].detach()"),
)


slip(
    attribution_patch,
    "slope_alone",
    "that is the gradient, summed. Multiply it by the step: clean z minus corrupted z.",
    ("(step * g).sum", "(g).sum"),
)


slip(
    attribution_patch,
    "step_alone",
    "that is the step, summed: how much z changes. Multiply it by the gradient, entry by entry.",
    ("(step * g).sum", "(step).sum"),
)


slip(
    attribution_patch,
    "product_of_lengths",
    "lengths were multiplied. A step may run across the slope, and then it changes nothing: "
    "multiply entry by entry, then sum.",
    ("(step * g).sum((0, 1, 3))", "(step.norm(dim=-1) * g.norm(dim=-1)).sum((0, 1))"),
)


slip(
    attribution_patch,
    "summed_apart",
    "step and gradient were each summed before they were multiplied. Multiply entry by entry "
    "first.",
    ("(step * g).sum((0, 1, 3))", "(step.sum((0, 1)) * g.sum((0, 1))).sum(-1)"),
)


slip(
    attribution_patch,
    "first_prompt_only",
    "only the first prompt was counted: sum over all of them (axis 0).",
    ("(step * g).sum((0, 1, 3))", "(step * g)[0].sum((0, 2))"),
)


slip(
    attribution_patch,
    "dimensions_averaged",
    "the mean was taken over the head's dimensions. An estimate of a change is a sum over "
    "all of them.",
    ("(step * g).sum((0, 1, 3))", "(step * g).mean(3).sum((0, 1))"),
)


slip(
    attribution_patch,
    "positions_averaged",
    "the mean was taken over positions. A patch changes all of them at once: sum.",
    ("(step * g).sum((0, 1, 3))", "(step * g).mean(1).sum((0, 2))"),
)


slip(
    attribution_patch,
    "prompts_averaged",
    "the mean was taken over prompts. The metric's gradient has the mean over prompts in it "
    "already: sum.",
    ("(step * g).sum((0, 1, 3))", "(step * g).mean(0).sum((0, 2))"),
)


slip(
    attribution_patch,
    "largest_position",
    "only the position with the largest effect was counted. A patch changes all positions at "
    "once: sum.",
    ("(step * g).sum((0, 1, 3))", "(step * g).sum((0, 3)).amax(0)"),
)


slip(
    attribution_patch,
    "step_of_length_one",
    "the step was made of length one. How far z moves counts: clean z minus corrupted z as it is.",
    (
        "(step * g).sum((0, 1, 3))",
        "(step / step.norm(dim=-1, keepdim=True).clamp_min(1e-9) * g).sum((0, 1, 3))",
    ),
)


slip(
    attribution_patch,
    "squared_step",
    "the step was squared. The estimate is the step times the slope.",
    ("(step * g).sum((0, 1, 3))", "(step**2 * g).sum((0, 1, 3))"),
)


slip(
    attribution_patch,
    "gains_only",
    "only what raises the metric was added up. Add all parts with their signs.",
    ("(step * g).sum((0, 1, 3))", "(step * g).clamp_min(0).sum((0, 1, 3))"),
)
