"""Exercise `attribute_heads`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checks.c06_indirect_object_identification.shared import (
    attribution_cases,
    read_along,
)
from circuits_course.checks.slips import slip

attribute_heads = Exercise(
    "attribute_heads",
    difficulty=3,
    importance=5,
    minutes=12,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "A layer's attn_out is the sum over heads of z[head] @ W_O[head]. You want the terms.",
        "Each term is a vector in the residual stream: divide by the cached final scale, take the "
        "dot product with the prompt's direction, as for layers.",
        "read = direction / scale; then one einsum over d_head and d_model: z [batch, head, "
        "d_head], W_O[layer] [head, d_head, d_model], read [batch, d_model] -> [head, batch].",
    ],
)

attribute_heads.cases(attribution_cases)


@attribute_heads.oracle
def _heads_oracle(cache: Any, direction: Tensor) -> Tensor:
    model = cache.model
    return torch.stack([
        torch.stack([
            read_along(cache[f"blocks.{layer}.attn.hook_z"][:, -1, head]
                  @ model.blocks[layer].attn.W_O[head], cache, direction)
            for head in range(model.cfg.n_heads)
        ])
        for layer in range(model.cfg.n_layers)
    ])  # fmt: skip


def _scale(cache: Any) -> Tensor:
    return cache["ln_final.hook_scale"][:, -1, 0]


@attribute_heads.wrong(
    "the scale is missing: divide by the cached ln_final.hook_scale, as for layers."
)
def heads_without_scale(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction) * _scale(cache)


@attribute_heads.wrong(
    "you divided by the norm of each head's own output. One scale holds for the whole run: what "
    "the "
    "final norm divided the sum by."
)
def heads_own_norm(cache: Any, direction: Tensor) -> Tensor:
    model = cache.model
    parts = []
    for layer in range(model.cfg.n_layers):
        z = cache[f"blocks.{layer}.attn.hook_z"][:, -1]
        written = torch.einsum("bhd,hdm->hbm", z, model.blocks[layer].attn.W_O)
        written = written - written.mean(-1, keepdim=True)
        written = written / written.std(-1, keepdim=True, unbiased=False)
        parts.append((written * direction).sum(-1))
    return torch.stack(parts)


@attribute_heads.wrong("the axes stand in another order: [layer, head, batch] is asked for.")
def batch_before_head(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction).transpose(1, 2)


@attribute_heads.wrong("you averaged over the prompts: keep one number for each.")
def heads_averaged(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction).mean(-1)


@attribute_heads.wrong(
    "the layer's sum was shared out evenly. Its heads write different things: W_O has a slice for "
    "each head."
)
def even_shares(cache: Any, direction: Tensor) -> Tensor:
    right = _heads_oracle(cache, direction)
    return right.mean(1, keepdim=True).expand_as(right)


@attribute_heads.wrong(
    "every head was put through the W_O of layer 0. W_O is [layer, head, d_head, d_model]: take "
    "the "
    "layer's own."
)
def first_W_O(cache: Any, direction: Tensor) -> Tensor:
    model = cache.model
    W_O = model.blocks[0].attn.W_O
    parts = [
        torch.einsum("bhd,hdm,bm->hb", cache[f"blocks.{layer}.attn.hook_z"][:, -1], W_O, direction)
        for layer in range(model.cfg.n_layers)
    ]
    return torch.stack(parts) / _scale(cache)


@attribute_heads.wrong("all prompts were read along the first one's direction; each has its own.")
def heads_one_direction(cache: Any, direction: Tensor) -> Tensor:
    return _heads_oracle(cache, direction[:1].expand_as(direction))


slip(
    attribute_heads,
    "positions_added",
    "the positions are summed. Only the last one's z is written where the answer is read.",
    ("[:, -1] for layer", ".sum(1) for layer"),
)


slip(
    attribute_heads,
    "heads_mean_direction",
    "one direction, the mean over the prompts, serves for all. Each prompt has its own "
    "names, so its own direction.",
    (
        'read = direction / cache["ln_final.hook_scale"][:, -1]',
        'read = direction.mean(0) / cache["ln_final.hook_scale"][:, -1]',
    ),
)


slip(
    attribute_heads,
    "heads_scale_of_the_first",
    "all prompts were divided by the scale of the first one; each has its own.",
    (
        'read = direction / cache["ln_final.hook_scale"][:, -1]',
        'read = direction / cache["ln_final.hook_scale"][:1, -1]',
    ),
)


slip(
    attribute_heads,
    "heads_at_the_beginning",
    "this is what heads write at the first position. The answer is read at the last: z[:, -1].",
    ('cache["z", layer][:, -1]', 'cache["z", layer][:, 0]'),
)


slip(
    attribute_heads,
    "heads_positions_averaged",
    "the positions are averaged. Only what is written at the last one is read for the answer.",
    ('cache["z", layer][:, -1]', 'cache["z", layer].mean(1)'),
)


slip(
    attribute_heads,
    "heads_times_scale",
    "you multiplied by the scale. hook_scale is what the norm divides by.",
    (
        'read = direction / cache["ln_final.hook_scale"][:, -1]',
        'read = direction * cache["ln_final.hook_scale"][:, -1]',
    ),
)


slip(
    attribute_heads,
    "values_for_z",
    "the head's own value at END stands in the place of z. A head writes what it has "
    "gathered from all positions: z.",
    ('cache["z", layer][:, -1]', 'cache["v", layer][:, -1]'),
)


slip(
    attribute_heads,
    "unit_directions",
    "you divided by the length of the direction. Then heads no longer add up to logits.",
    (
        'read = direction / cache["ln_final.hook_scale"][:, -1]',
        "read = direction / direction.norm(dim=-1, keepdim=True) / "
        'cache["ln_final.hook_scale"][:, -1]',
    ),
)


slip(
    attribute_heads,
    "first_head_W_O",
    "every head of a layer was put through the W_O of its head 0. Each has its own slice: "
    "W_O[layer, head].",
    ("z, W_O, read)", "z, W_O[:, :1].expand_as(W_O), read)"),
)


slip(
    attribute_heads,
    "heads_mean_scale",
    "one scale, the mean over the prompts, serves for all; each prompt has its own.",
    (
        'read = direction / cache["ln_final.hook_scale"][:, -1]',
        'read = direction / cache["ln_final.hook_scale"][:, -1].mean()',
    ),
)


slip(
    attribute_heads,
    "the_other_heads",
    "this is what the *other* heads of the layer add.",
    (
        'return torch.einsum("lbhd,lhdm,bm->lhb", z, W_O, read)',
        'each = torch.einsum("lbhd,lhdm,bm->lhb", z, W_O, read)\n'
        "    return each.sum(1, keepdim=True) - each",
    ),
)


slip(
    attribute_heads,
    "running_sums",
    "these are running sums over the layers. Asked is what each head adds by itself.",
    (
        'return torch.einsum("lbhd,lhdm,bm->lhb", z, W_O, read)',
        'return torch.einsum("lbhd,lhdm,bm->lhb", z, W_O, read).cumsum(0)',
    ),
)
