"""What a head writes when it looks back."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.circuits.norms import centred, final_scale
from circuits_course.circuits.padding import require_one_length


def value_weights(model: Any, layer: int, head: int) -> Float[Tensor, "d_model d_head"]:
    """W_V of a query head; several heads share one where keys and values are grouped."""
    W_V = model.W_V[layer]
    return W_V[head * len(W_V) // model.cfg.n_heads]


def token_OV(
    model: Any,
    layer: int,
    head: int,
    embedding: Float[Tensor, "word d_model"] | None = None,
    words: Int[Tensor, " word"] | None = None,
) -> FactoredMatrix:
    """What a head writes onto the logits of tokens [column] when it looks at tokens [row].

    embedding: how the tokens look from the head's layer, one row each, as they stand in the
    residual stream; the head's norm, if the model has one, is applied here. words: the tokens of
    the columns. Without both, the rows of W_E as they are, and all tokens.
    """
    rows = model.W_E if embedding is None else _normed(model, embedding)
    W_U = model.W_U if words is None else model.W_U[:, words]
    W_O = model.W_O[layer, head]
    return FactoredMatrix(rows @ value_weights(model, layer, head), W_O @ W_U)


def _normed(model: Any, x: Float[Tensor, "word d_model"]) -> Float[Tensor, "word d_model"]:
    """Rows as a norm without gain leaves them (gains are folded into the weights after it)."""
    kind = str(model.cfg.normalization_type or "")
    if not kind or kind == "None":
        return x
    x = centred(model, x)
    eps = float(getattr(model.cfg, "eps", 1e-5))
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@torch.no_grad()
def direct_scores(
    model: Any, cache: Any, tokens: Int[Tensor, "batch pos"], queries: slice
) -> Float[Tensor, "layer head batch"]:
    """Every head's direct push on the token that comes next, mean over some queries, centred.

    cache: of a run on `tokens`, with every z and the final norm's scale. queries: positions whose
    next token is asked about. For each target only its own column of the centred W_U is used, so
    that the logits of the whole vocabulary are never made. Raises CourseError for prompts of
    different lengths.
    """
    require_one_length(model, tokens)
    centre = model.W_U.mean(1)
    wanted = model.W_U.T[tokens.roll(-1, dims=1)[:, queries]] - centre  # [batch, q, d_model]
    scale = final_scale(cache)
    if scale.shape[1] > 1:
        scale = scale[:, queries]
    pushes = [
        torch.einsum("bqhd,hdm,bqm->hb", cache["z", layer][:, queries], W_O, wanted / scale)
        for layer, W_O in enumerate(model.W_O)
    ]
    return torch.stack(pushes) / wanted.shape[1]
