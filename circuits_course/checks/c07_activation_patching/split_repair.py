"""Exercise `split_repair`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

split_repair = Exercise(
    "split_repair",
    difficulty=3,
    importance=3,
    minutes=10,
    hints=[
        "A direct effect is what a part writes, along the answer's direction, divided by the "
        "scale. Multiply `after` by scale_after and you have what is written.",
        "Divide that by scale_before: the effect that the part would have in the ablated run if "
        "the norm had not moved. Call it held.",
        "held - before is the change of what is written; after - held is the scale's doing. Mind "
        "the axes: scales are [batch], effects [batch, part].",
    ],
)


@split_repair.cases
def _repair_cases() -> Iterator[Case]:
    same = torch.tensor([[2.0, -1.0]])
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    yield Case("the norm's scale doubles and nobody writes otherwise", same, same / 2, one, two)
    yield Case(
        "the scale stays and one part writes more", same, same + torch.tensor([0.0, 3.0]), two, two
    )
    for seed, (batch, parts) in enumerate([(3, 5), (2, 7), (5, 4)]):
        before, after = normal(2, batch, parts, seed=seed)
        scales = 1 + normal(2, batch, seed=seed + 30).abs()
        yield Case("random effects", before, after, *scales)


@split_repair.oracle
def _repair_oracle(
    before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor
) -> Tensor:
    batch, parts = before.shape
    out = torch.zeros(2, parts)
    for b in range(batch):
        for part in range(parts):
            written = after[b, part] * scale_after[b] - before[b, part] * scale_before[b]
            out[0, part] += written / scale_before[b] / batch
            out[1, part] += (after[b, part] - before[b, part] - written / scale_before[b]) / batch
    return out


@split_repair.wrong(
    "the scale's part is missing: your first row is the whole change. Part of it comes about "
    "although nobody writes otherwise, because the norm divides by another number."
)
def scale_ignored(
    before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor
) -> Tensor:
    change = (after - before).mean(0)
    return torch.stack([change, torch.zeros_like(change)])


@split_repair.wrong(
    "the ratio of scales is upside down. `after` was divided by scale_after: undo that, then "
    "divide by scale_before."
)
def ratio_upside_down(
    before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor
) -> Tensor:
    held = after * (scale_before / scale_after)[:, None]
    return torch.stack([(held - before).mean(0), (after - held).mean(0)])


@split_repair.wrong(
    "you held the scale of the ablated run. Asked is the clean run's, scale_before."
)
def held_at_the_other(
    before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor
) -> Tensor:
    held = before * (scale_before / scale_after)[:, None]
    return torch.stack([(after - held).mean(0), (held - before).mean(0)])


@split_repair.wrong("the rows are exchanged: what is written comes first, the scale's part second.")
def rows_exchanged(
    before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor
) -> Tensor:
    return _repair_oracle(before, after, scale_before, scale_after).flip(0)


@split_repair.wrong(
    "these are changes of what is written, not divided by the scale. Direct effects are in logits: "
    "divide by scale_before."
)
def undivided(before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor) -> Tensor:
    written = after * scale_after[:, None] - before * scale_before[:, None]
    return torch.stack([written.mean(0), (after - before - written).mean(0)])


@split_repair.wrong(
    "one ratio of mean scales was used for all prompts. Every prompt has its own: scales are "
    "[batch]."
)
def mean_scales(before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor) -> Tensor:
    held = after * (scale_after.mean() / scale_before.mean())
    return torch.stack([(held - before).mean(0), (after - held).mean(0)])


@split_repair.wrong("the signs are turned: a change is after minus before.")
def backwards(before: Tensor, after: Tensor, scale_before: Tensor, scale_after: Tensor) -> Tensor:
    return -_repair_oracle(before, after, scale_before, scale_after)


slip(
    split_repair,
    "first_row_turned",
    "the first row has its sign turned: held minus before.",
    ("(held - before)", "(before - held)"),
)


slip(
    split_repair,
    "second_row_is_the_whole",
    "the second row is the whole change. It is what is left of it once the first row is taken off.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "return torch.stack([(held - before).mean(0), (after - before).mean(0)])",
    ),
)


slip(
    split_repair,
    "prompts_added",
    "the prompts were added up: take their mean.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "return torch.stack([(held - before).sum(0), (after - held).sum(0)])",
    ),
)


slip(
    split_repair,
    "divided_again",
    "the effects were divided by their scales once more. They are divided already: multiply "
    "`after` by scale_after to undo it.",
    ("held = after * (scale_after / scale_before)[:, None]", "held = after / scale_after[:, None]"),
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "return torch.stack([(held - before / scale_before[:, None]).mean(0), (after - "
        "held).mean(0)])",
    ),
)


slip(
    split_repair,
    "difference_of_scales",
    "the difference of the scales was used. What a norm divides by is undone by a ratio: "
    "scale_after / scale_before.",
    (
        "held = after * (scale_after / scale_before)[:, None]",
        "held = after * (scale_after - scale_before)[:, None]",
    ),
)


slip(
    split_repair,
    "second_row_from_before",
    "the scale's part was taken from `before`. Hold what is written *after* the change, and "
    "let the scale change then.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "rest = before * (scale_before / scale_after)[:, None]\n"
        "    return torch.stack([(held - before).mean(0), (rest - before).mean(0)])",
    ),
)


slip(
    split_repair,
    "parts_added",
    "the parts were added up. Keep one column for each.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "both = torch.stack([(held - before).mean(0), (after - held).mean(0)])\n"
        "    return both.sum(1, keepdim=True).expand_as(both)",
    ),
)


slip(
    split_repair,
    "not_averaged_scale",
    "`after` was held at the scale of the first prompt. Every prompt has its own.",
    (
        "held = after * (scale_after / scale_before)[:, None]",
        "held = after * (scale_after / scale_before)[:1, None]",
    ),
)


slip(
    split_repair,
    "root_of_the_ratio",
    "the root of the ratio was used. hook_scale is what the norm divides by: no root.",
    (
        "held = after * (scale_after / scale_before)[:, None]",
        "held = after * (scale_after / scale_before).sqrt()[:, None]",
    ),
)


slip(
    split_repair,
    "second_row_turned",
    "the second row has its sign turned: after minus held.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "return torch.stack([(held - before).mean(0), (held - after).mean(0)])",
    ),
)


slip(
    split_repair,
    "medians",
    "these are medians over the prompts: take means.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "return torch.stack([(held - before).median(0).values, (after - held).median(0).values])",
    ),
)


slip(
    split_repair,
    "means_before_the_ratio",
    "effects and ratios were averaged over prompts before they were multiplied. Each prompt "
    "has its own ratio.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "held = after.mean(0) * (scale_after / scale_before).mean()\n"
        "    return torch.stack([held - before.mean(0), after.mean(0) - held])",
    ),
)


slip(
    split_repair,
    "sizes_only",
    "the signs are lost. What is written may help or harm.",
    (
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)])",
        "return torch.stack([(held - before).mean(0), (after - held).mean(0)]).abs()",
    ),
)


slip(
    split_repair,
    "squared_ratio",
    "the ratio of scales was squared. `after` was divided by scale_after once: undo it once.",
    (
        "held = after * (scale_after / scale_before)[:, None]",
        "held = after * ((scale_after / scale_before) ** 2)[:, None]",
    ),
)
