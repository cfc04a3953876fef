"""Direct effects: what each part of a model adds to the logit difference itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.circuits.norms import centred, final_scale_of
from circuits_course.circuits.padding import require_read_at_words
from circuits_course.circuits.patching.metrics import Tokens
from circuits_course.circuits.patching.stages import stages_of
from circuits_course.data.logit_difference import LogitDifference


class DirectEffects(NamedTuple):
    """metric: the logit difference. heads, mlps: what each adds to it, in logits, one row for each
    prompt. scale: what the final norm divides by, which the effects are already divided by.
    """

    metric: float
    heads: Float[Tensor, "batch layer head"]
    mlps: Float[Tensor, "batch layer"]
    scale: Float[Tensor, " batch"]

    @property
    def parts(self) -> Float[Tensor, "batch part"]:
        """Heads, layer by layer, then MLPs."""
        return torch.cat([self.heads.flatten(1), self.mlps], dim=1)


@torch.no_grad()
def direct_effects(
    model: Any,
    tokens: Tokens,
    metric: LogitDifference,
    replaced: Mapping[Head, Float[Tensor, "batch pos d_head"]] | None = None,
) -> DirectEffects:
    """What every head and MLP adds directly to the logit difference.

    The final residual stream is a sum, so the logit difference is one: each part's write times the
    answer's direction, divided by the final norm's scale, whose gain has to be folded into W_U as
    `load_model` does. replaced: outputs z to put in the place of some heads' own.
    """
    require_read_at_words(model, tokens, metric)
    stages, replaced = stages_of(model, tokens), replaced or {}

    def edit(name: str, layer: int, value: Tensor) -> Tensor:
        for (where, head), new in replaced.items():
            if (name, layer) == ("z", where):
                value = value.clone()
                value[:, :, head] = new
        return value

    run = stages.run(tokens, edit, keep=("z", "mlp_out"))
    rows = torch.arange(len(tokens))
    end = metric.positions(tokens.shape[1])
    W_U, _ = stages.unembedding()
    toward = centred(model, (W_U[:, metric.right] - W_U[:, metric.wrong]).T)  # [batch, d_model]
    final = run.resid_final[rows, end]
    scale = final_scale_of(model, final)
    wrote = [_by_head(stages, layer, z[rows, end]) for layer, z in enumerate(run.z)]
    heads = torch.einsum("lbhd,bd->blh", torch.stack(wrote), toward) / scale[:, None, None]
    mlps = torch.stack([(x[rows, end] * toward).sum(-1) for x in run.mlp_out], 1) / scale[:, None]
    value = float(metric(stages.logits(run.resid_final)))
    return DirectEffects(value, heads, mlps, scale)


def _by_head(stages: Any, layer: int, z: Float[Tensor, "batch head d_head"]) -> Tensor:
    """What each head adds to the residual stream: [batch, head, d_model]."""
    alone = torch.eye(z.shape[1])[:, None, :, None] * z  # [head, batch, head, d_head]
    nothing = stages.write(layer, torch.zeros_like(z))
    return (stages.write(layer, alone) - nothing).transpose(0, 1)
