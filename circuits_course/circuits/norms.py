"""What a norm does to a sum of writes: LayerNorm takes the mean away, and every norm divides.

Gains are folded into the weights that read, as `load_model` does, so that nothing else is left.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def centred(model: Any, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
    """What the model's norms pass on of x but for their scale: LayerNorm takes the mean away.

    x: residual streams, parts of them, or a direction that reads them: (x - mean x) . d is
    x . (d - mean d). RMSNorm, or no norm, passes everything on.
    """
    if str(model.cfg.normalization_type).startswith("LN"):
        return x - x.mean(-1, keepdim=True)
    return x


def final_scale(cache: Any) -> Float[Tensor, "batch pos 1"] | Float[Tensor, "1 1 1"]:
    """What the final norm divides each position by in a run; 1 for a model without norm.

    cache: with `ln_final.hook_scale`. Attribution keeps this scale as it was in the whole run, so
    that the parts add up to the logits.
    """
    name = "ln_final.hook_scale"
    return cache[name] if name in cache else torch.ones(1, 1, 1)


@torch.no_grad()
def final_scale_of(model: Any, resid: Float[Tensor, "*any d_model"]) -> Float[Tensor, " *any"]:
    """`final_scale` of last residual streams, where there is no cache."""
    return centred(model, resid).norm(dim=-1) / model.ln_final(resid).norm(dim=-1)
