"""Between two runs: one head's output moved step by step from the corrupted to the clean one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.patching.metrics import Metric, Tokens, require_pair
from circuits_course.circuits.patching.stages import stages_of


class Walk(NamedTuple):
    """What is seen along the way, one number for each step."""

    metric: Float[Tensor, " step"]
    attention: Float[Tensor, " step"]


@torch.no_grad()
def walk_head(
    model: Any,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric,
    head: Head,
    shares: Iterable[float],
    watch: tuple[int, int, int, int],
) -> Walk:
    """The corrupted run with one head's output part of the way to its clean output.

    shares: of the way, 0 the corrupted output, 1 the clean one, which is `patch_sweep`'s denoising.
    watch: (layer, head, query, key) of an attention weight to look at, mean over the prompts. What
    a gradient estimates is the slope of the metric at 0.
    """
    require_pair(model, clean, corrupted, metric)
    stages, (layer, number) = stages_of(model, corrupted), head
    new, old = (stages.run(tokens, keep=("z",)).z[layer] for tokens in (clean, corrupted))
    step = torch.zeros_like(old)
    step[:, :, number] = (new - old)[:, :, number]
    where, who, query, key = watch
    metrics, looks = [], []
    for share in shares:

        def edit(name: str, at: int, value: Tensor, share: float = float(share)) -> Tensor:
            return value + share * step if (name, at) == ("z", layer) else value

        run = stages.run(corrupted, edit, keep=("pattern",))
        metrics.append(torch.as_tensor(metric(stages.logits(run.resid_final))))
        looks.append(run.pattern[where][:, who, query, key].mean())
    return Walk(torch.stack(metrics), torch.stack(looks))
