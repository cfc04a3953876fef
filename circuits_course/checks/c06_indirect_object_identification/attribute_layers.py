"""Exercise `attribute_layers`."""

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

attribute_layers = Exercise(
    "attribute_layers",
    difficulty=2,
    importance=5,
    minutes=10,
    tolerance=Tolerance(1e-4, 1e-3),
    hints=[
        "The last residual stream is a sum: the embedding, then every layer's attn_out and "
        "mlp_out. "
        "Append the two of each layer, in this order.",
        "The final norm divides the whole sum by one number a prompt, cached as "
        "ln_final.hook_scale. Divide each part by that same number.",
        "(written / scale * direction).sum(-1): the dot product with the direction of each prompt.",
    ],
)

attribute_layers.cases(attribution_cases)


def _components(cache: Any, position: int = -1) -> list[Tensor]:
    parts = [cache["blocks.0.hook_resid_pre"]]
    for layer in range(cache.model.cfg.n_layers):
        parts += [cache[f"blocks.{layer}.hook_{name}"] for name in ("attn_out", "mlp_out")]
    return [part[:, position] for part in parts]


@attribute_layers.oracle
def _layers_oracle(cache: Any, direction: Tensor) -> Tensor:
    return torch.stack([read_along(part, cache, direction) for part in _components(cache)])


@attribute_layers.wrong(
    "the scale is missing. The final norm divides the residual stream by a number of each prompt "
    "before the unembedding reads it: divide every part by the cached ln_final.hook_scale."
)
def without_scale(cache: Any, direction: Tensor) -> Tensor:
    return torch.stack([(part * direction).sum(-1) for part in _components(cache)])


@attribute_layers.wrong(
    "every part was normalised on its own. The norm divides the *sum* once, by the cached scale; "
    "with a scale for each part the parts no longer add up."
)
def own_norm(cache: Any, direction: Tensor) -> Tensor:
    normed = [
        (part - part.mean(-1, keepdim=True)) / part.std(-1, keepdim=True, unbiased=False)
        for part in _components(cache)
    ]
    return torch.stack([(part * direction).sum(-1) for part in normed])


@attribute_layers.wrong("you multiplied by the scale. hook_scale is what the norm divides by.")
def multiplied_by_scale(cache: Any, direction: Tensor) -> Tensor:
    scale = cache["ln_final.hook_scale"][:, -1]
    return torch.stack([(part * scale * direction).sum(-1) for part in _components(cache)])


@attribute_layers.wrong(
    "these are running totals, the residual stream after each component. Asked is what each one "
    "adds by itself."
)
def running_totals(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction).cumsum(0)


@attribute_layers.wrong(
    "you averaged over the prompts: keep one number for each, [component, batch]."
)
def layers_averaged(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction).mean(-1)


@attribute_layers.wrong(
    "the MLP comes before the attention of its layer in your list. A layer writes attn_out first, "
    "then mlp_out."
)
def mlp_first(cache: Any, direction: Tensor) -> Tensor:
    right = _layers_oracle(cache, direction)
    order = [0] + [i + d for i in range(1, len(right), 2) for d in (1, 0)]
    return right[order]


@attribute_layers.wrong(
    "the MLPs are missing: they write to the residual stream as heads do. A layer has two parts."
)
def without_mlps(cache: Any, direction: Tensor) -> Tensor:
    right = _layers_oracle(cache, direction)
    return torch.cat([right[:1], right[1::2]])


@attribute_layers.wrong(
    "all prompts were read along the first one's direction. Each has its own names, so its own "
    "direction: multiply row by row."
)
def one_direction(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction[:1].expand_as(direction))


@attribute_layers.wrong(
    "you divided by the length of the direction. Then the parts no longer add up to logits."
)
def unit_direction(cache: Any, direction: Tensor) -> Tensor:
    return _layers_oracle(cache, direction / direction.norm(dim=-1, keepdim=True))


slip(
    attribute_layers,
    "streams_for_writes",
    "the stream that enters the layer stands where attn_out should: what the layer adds, not "
    "what it reads.",
    ('cache["attn_out", layer], ', 'cache["resid_pre", layer], '),
)


slip(
    attribute_layers,
    "beginning_for_end",
    "this is the first position. The answer is given at the last one.",
    ("[:, :, -1]", "[:, :, 0]"),
)


slip(
    attribute_layers,
    "own_scales",
    "each component was divided by its own length. The final norm divides all of them by one "
    "scale, that of the whole: ln_final.hook_scale.",
    ('cache["ln_final.hook_scale"][:, -1]', "written.pow(2).mean(-1, keepdim=True).sqrt()"),
)


slip(
    attribute_layers,
    "scale_of_the_first_prompt",
    "all prompts were divided by the scale of the first one. Each has its own: scale is "
    "[batch, 1].",
    ("(written / scale * direction).sum(-1)", "(written / scale[:1] * direction).sum(-1)"),
)


slip(
    attribute_layers,
    "scale_of_the_first_position",
    "the scale is that of the first position. Take it where the answer is read, at the last.",
    ('["ln_final.hook_scale"][:, -1]', '["ln_final.hook_scale"][:, 0]'),
)


slip(
    attribute_layers,
    "mean_direction",
    "one direction, the mean over the prompts, serves for all. Each prompt has its own "
    "names, so its own direction.",
    ("(written / scale * direction).sum(-1)", "(written / scale * direction.mean(0)).sum(-1)"),
)


slip(
    attribute_layers,
    "scaled_twice",
    "you divided by the scale twice. The final norm divides once.",
    ("(written / scale * direction).sum(-1)", "(written / scale / scale * direction).sum(-1)"),
)


slip(
    attribute_layers,
    "shares_of_the_whole",
    "each part was divided by the sum of all. Keep logits: shares of a sum whose parts have "
    "both signs mislead.",
    (
        "return (written / scale * direction).sum(-1)",
        "parts = (written / scale * direction).sum(-1)\n    return parts / parts.sum(0)",
    ),
)


slip(
    attribute_layers,
    "positions_averaged",
    "the positions were averaged. Only what is written at the last one is read for the answer.",
    ("torch.stack(components)[:, :, -1]", "torch.stack(components).mean(2)"),
)


slip(
    attribute_layers,
    "parts_centred",
    "each part has its mean over the components taken away. What a component adds is asked, "
    "not how it differs from the others.",
    (
        "return (written / scale * direction).sum(-1)",
        "parts = (written / scale * direction).sum(-1)\n    return parts - parts.mean(0)",
    ),
)


slip(
    attribute_layers,
    "mlp_twice",
    "mlp_out stands in the place of attn_out too. Each layer writes twice: attn_out first, "
    "then mlp_out.",
    (
        'cache["attn_out", layer], cache["mlp_out", layer]',
        'cache["mlp_out", layer], cache["mlp_out", layer]',
    ),
)


slip(
    attribute_layers,
    "mean_scale",
    "one scale, the mean over the prompts, serves for all. Each prompt has its own: [batch, 1].",
    ("(written / scale * direction).sum(-1)", "(written / scale.mean() * direction).sum(-1)"),
)


slip(
    attribute_layers,
    "written_and_read_at_others",
    "each prompt's direction met another prompt's write. Both belong to one prompt: multiply "
    "row by row.",
    ("(written / scale * direction).sum(-1)", "(written / scale * direction.roll(1, 0)).sum(-1)"),
)


slip(
    attribute_layers,
    "own_scale",
    "each write was divided by its own length. The scale is that of the whole run's final norm.",
    (
        'scale = cache["ln_final.hook_scale"][:, -1]',
        "scale = written.norm(dim=-1, keepdim=True)",
    ),
)
