"""Attribution patching: every patch of a sweep estimated from one gradient.

Nanda 2023 (neelnanda.io, "Attribution patching: activation patching at industrial scale"):
(a_source - a_base) . d metric / d a, two forward passes and one backward; Syed et al. 2023 (arXiv
2310.10348) took it to edges. It is a straight line through a curve, so it fails where attention is
saturated or effects cancel (Kramar et al. 2024, arXiv 2403.00745).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching.metrics import (
    Metric,
    Tokens,
    require_pair,
)
from circuits_course.circuits.patching.stages import KEPT, Edit, Run, Stages, stages_of
from circuits_course.circuits.patching.sweep import require_fitting
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import UnknownName

# What is summed over, for each component and kind of result.
_AXES = {
    "pattern": "batch head position key",
    "resid": "batch position d_model",
    "heads": "batch position head d_head",
}


def attribution_patch(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric | LogitDifference,
    over: Sequence[str] = ("layer", "head"),
    *,
    component: str = "z",
    mode: Literal["denoising", "noising"] = "denoising",
) -> Float[Tensor, "*over"]:
    """The estimated *change* of the metric for every patch of `patch_sweep`.

    The arguments are those of `patch_sweep`, "keys" and "values" left out; the result has the same
    axes, but holds the change from the unpatched run, not the metric itself. With the token
    positions in `over` it sums to the result without them.

    Raises UnknownName or CourseError for names and shapes that do not fit.
    """
    over = tuple(over)
    require_fitting(component, over, mode)
    require_pair(model, clean, corrupted, metric)
    if component not in KEPT:
        raise UnknownName("component with a gradient of its own", component, KEPT)
    base, source = (corrupted, clean) if mode == "denoising" else (clean, corrupted)
    stages = stages_of(model, base)
    with torch.no_grad():
        wanted = getattr(stages.run(source, keep=(component,)), component)
    run, gradients = gradients_at(stages, base, metric, (component,))
    values = [value.detach() for value in getattr(run, component)]
    axes = _AXES[component if component == "pattern" else "heads" if "head" in over else "resid"]
    kept = " ".join(axis for axis in over if axis != "layer")
    return torch.stack([
        reduce((new - old) * gradient, f"{axes} -> {kept}", "sum")
        for new, old, gradient in zip(wanted, values, gradients[component], strict=True)
    ])  # fmt: skip


def attribution_path(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric | LogitDifference,
    sender: Head,
    receiver: tuple[int, int, Literal["q", "k", "v"]],
) -> float:
    """The estimated change of the metric when one receiver hears the sender's corrupted output.

    An estimate of what `path_patch` does (Syed et al. 2023, arXiv 2310.10348): the change of what
    the receiver reads, with every other head frozen in the clean run, times the gradient of the
    metric there.
    """
    require_pair(model, clean, corrupted, metric)
    stages, (layer, head, name) = stages_of(model, clean), receiver
    with torch.no_grad():
        base = stages.run(clean)
        said = stages.run(corrupted, keep=("z",)).z
        frozen = stages.run(clean, _frozen_but(base, said, sender), keep=(name,))
        step = getattr(frozen, name)[layer] - getattr(base, name)[layer]
    _, gradients = gradients_at(stages, clean, metric, (name,))
    return float((step * gradients[name][layer])[..., head, :].sum())


def _frozen_but(base: Run, said: list[Tensor], sender: Head) -> Edit:
    """Every head's output as in the base run, the sender's as in the other one."""

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        if name != "z":
            return value
        z = base.z[layer].clone()
        if layer == sender[0]:
            z[:, :, sender[1]] = said[layer][:, :, sender[1]]
        return z

    return edit


def gradients_at(
    stages: Stages,
    tokens: Tokens,
    metric: Metric | LogitDifference,
    components: Collection[str],
    embedded: Float[Tensor, "batch pos d_model"] | None = None,
) -> tuple[Run, dict[str, list[Tensor]]]:
    """A run that keeps some components, and the gradient of the metric at each, layer by layer.

    components: names of `KEPT`. embedded: takes the place of the tokens' embedding. The gradient at
    the last residual stream comes as "resid_final", a list of one.
    """
    leaves: dict[str, list[Tensor]] = {name: [] for name in components}

    def with_leaf(name: str, layer: int, value: Tensor) -> Tensor:
        if embedded is not None and (name, layer) == ("resid_pre", 0):
            value = embedded
        if name not in leaves:
            return value
        leaves[name].append(torch.zeros_like(value, requires_grad=True))
        return value + leaves[name][-1]

    with torch.enable_grad():
        run = stages.run(tokens, with_leaf, keep=components)
        final = run.resid_final
        wanted = [leaf for layers in leaves.values() for leaf in layers]
        found = torch.autograd.grad(score_of(stages, final, metric), [*wanted, final])
    gradients, rest = {"resid_final": [found[-1]]}, list(found[:-1])
    for name in leaves:
        gradients[name], rest = rest[: stages.n_layers], rest[stages.n_layers :]
    return run, gradients


def score_of(
    stages: Stages, resid: Float[Tensor, "batch pos d_model"], metric: Metric | LogitDifference
) -> Tensor:
    """The metric of final residual streams, with its gradient."""
    if not isinstance(metric, LogitDifference):
        return torch.as_tensor(metric(stages.logits(resid)))
    rows = torch.arange(len(resid))
    read = resid[rows, metric.positions(resid.shape[1])]
    return metric.of_columns(stages.columns(read, metric.columns))
