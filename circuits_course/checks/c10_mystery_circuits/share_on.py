"""Exercise `share_on`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

share_on = Exercise(
    "share_on",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Multiply attention by the mask and sum: what is left is the attention on targets. Leave "
        "column 0 out of the mask too, so that shapes agree.",
        "targets is [batch, q, k] and has no head axis: targets[:, None] adds one.",
        "(away * targets[:, None, :, 1:]).sum(dim=(0, 2, 3)) leaves one number a head.",
    ],
)


def _patterns(batch: int, n_heads: int, n_pos: int, seed: int) -> Tensor:
    scores = 2.0 * normal(batch, n_heads, n_pos, n_pos, seed=seed)
    scores[..., 0] += 2.0 * normal(batch, n_heads, n_pos, seed=seed + 1)
    return scores.masked_fill(torch.ones(n_pos, n_pos).triu(1).bool(), -torch.inf).softmax(-1)


def _share_case(batch: int, n_heads: int, n_pos: int, seed: int) -> tuple[Tensor, Tensor]:
    targets = normal(batch, n_pos, n_pos, seed=seed + 2) > 0.3
    targets[..., 0] = False
    return _patterns(batch, n_heads, n_pos, seed), targets


@share_on.cases
def _share_cases() -> Iterator[Case]:
    pattern = torch.zeros(1, 2, 4, 4)
    pattern[:, 0, :, 0] = 0.5
    pattern[:, 0] += 0.5 * torch.eye(4)[[0, 0, 1, 2]]
    pattern[:, 1, :, 0] = 1.0
    pattern[0, 1, 2] = torch.tensor([0.99, 0.01, 0.0, 0.0])
    previous = torch.eye(4)[[0, 0, 1, 2]].bool()[None]
    previous[..., 0] = False
    yield Case("a head half on BOS and half one back, and one that rests on BOS", pattern, previous)
    leaves = torch.tensor([0.045, 0.02, 0.9, 0.0])[None, :, None, None]
    pattern = leaves * torch.eye(5)[[0, 0, 1, 2, 3]]
    pattern[..., 0] = 1 - pattern[..., 1:].sum(-1)
    previous = torch.eye(5)[[0, 0, 1, 2, 3]].bool()[None]
    previous[..., 0] = False
    yield Case("heads that leave BOS a little more, and a little less, than needed",
               pattern.repeat(2, 1, 1, 1), previous.repeat(2, 1, 1))  # fmt: skip
    yield Case("random attention", *_share_case(3, 2, 5, seed=0))
    yield Case("random attention", *_share_case(2, 4, 6, seed=7))


@share_on.oracle
def _share_oracle(pattern: Tensor, targets: Tensor) -> Tensor:
    batch, n_heads, n_pos, _ = pattern.shape
    shares = []
    for head in range(n_heads):
        on = off = 0.0
        for b in range(batch):
            for q in range(n_pos):
                for k in range(1, n_pos):
                    weight = pattern[b, head, q, k].item()
                    off += weight
                    on += weight * bool(targets[b, q, k])
        shares.append(on / off if off >= 0.02 * batch * n_pos else 0.0)
    return torch.tensor(shares)


def _on_and_off(pattern: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """[batch, head, q]: attention on targets, attention off BOS."""
    return (pattern * targets[:, None]).sum(-1), pattern[..., 1:].sum(-1)


@share_on.wrong(
    "you divided by all attention, BOS included. A head that rests half of the time and otherwise "
    "looks one back is still a previous-token head."
)
def of_all_attention(pattern: Tensor, targets: Tensor) -> Tensor:
    on, _ = _on_and_off(pattern, targets)
    return on.mean(dim=(0, 2))


@share_on.wrong(
    "you divided query by query and took the mean. A query that rests on BOS has a share of next"
    " to nothing, and it counts like all others; sum first, divide then."
)
def query_by_query(pattern: Tensor, targets: Tensor) -> Tensor:
    on, off = _on_and_off(pattern, targets)
    return (on / off.clamp_min(1e-9)).mean(dim=(0, 2))


@share_on.wrong("the targets are transposed: pattern and targets both have queries as rows.")
def targets_transposed(pattern: Tensor, targets: Tensor) -> Tensor:
    turned = targets.mT.clone()
    turned[..., 0] = False
    return _share_oracle(pattern, turned)


@share_on.wrong("the batch axis is still there; sum over it too, then divide.")
def for_each_prompt(pattern: Tensor, targets: Tensor) -> Tensor:
    on, off = _on_and_off(pattern, targets)
    return on.sum(-1) / off.sum(-1).clamp_min(1e-9)


@share_on.wrong("you averaged over heads as well. Keep the head axis, that is who we look for.")
def over_heads_too(pattern: Tensor, targets: Tensor) -> Tensor:
    return _share_oracle(pattern, targets).mean()


@share_on.wrong(
    "a head that hardly ever leaves BOS got a share. What it does with one thousandth of its "
    "attention is no role: give it 0."
)
def resting_heads_too(pattern: Tensor, targets: Tensor) -> Tensor:
    on, off = _on_and_off(pattern, targets)
    return on.sum(dim=(0, 2)) / off.sum(dim=(0, 2)).clamp_min(1e-9)


@share_on.wrong(
    "that is the mean attention per target. It sinks with the number of targets; divide by the "
    "attention off BOS."
)
def per_target(pattern: Tensor, targets: Tensor) -> Tensor:
    on, _ = _on_and_off(pattern, targets)
    return on.sum(dim=(0, 2)) / targets.sum()


slip(
    share_on,
    "five_per_cent",
    "a head that leaves BOS with 3 % of its attention got 0. The line is at 2 %.",
    ("0.02", "0.05"),
)


slip(
    share_on,
    "first_query_dropped",
    "query 0 was left out instead of key 0. BOS counts as a *key*, the last axis: "
    "pattern[..., 1:].",
    ("away = pattern[..., 1:]", "away = pattern[:, :, 1:]"),
    ("targets[:, None, :, 1:]", "targets[:, None, 1:]"),
)


slip(
    share_on,
    "targets_one_off",
    "the targets are off by one: once BOS is cut from the keys of the pattern, cut it from "
    "those of the targets as well: targets[..., 1:].",
    ("targets[:, None, :, 1:]", "targets[:, None, :, :-1]"),
)


slip(
    share_on,
    "strongest_key_only",
    "this counts how often the strongest key is a target. Asked is how much attention goes there.",
    (
        "on_targets = (away * targets[:, None, :, 1:]).sum(dim=(0, 2, 3))",
        "best = away == away.amax(-1, keepdim=True)\n"
        "    on_targets = (away * best * targets[:, None, :, 1:]).sum(dim=(0, 2, 3))",
    ),
)


slip(
    share_on,
    "means_over_targets",
    "attention on targets was averaged over the targeted cells. Sum it, and divide by the "
    "attention off BOS.",
    (
        "return torch.where(active, on_targets / total.clamp_min(1e-9), 0.0)",
        "return torch.where(active, on_targets / targets.sum(), 0.0)",
    ),
)


slip(
    share_on,
    "one_minus_the_share",
    "this is what goes elsewhere: 1 minus the share.",
    (
        "return torch.where(active, on_targets / total.clamp_min(1e-9), 0.0)",
        "return torch.where(active, 1 - on_targets / total.clamp_min(1e-9), 0.0)",
    ),
)


slip(
    share_on,
    "last_query_only",
    "only the last query was read. Sum over all of them.",
    ("away = pattern[..., 1:]", "away = pattern[:, :, -1:, 1:]"),
    ("targets[:, None, :, 1:]", "targets[:, None, -1:, 1:]"),
)


slip(
    share_on,
    "prompt_by_prompt",
    "each prompt's share was taken, then their mean. Sum over the batch as well, then divide.",
    (
        "return torch.where(active, on_targets / total.clamp_min(1e-9), 0.0)",
        "each = (away * targets[:, None, :, 1:]).sum((2, 3)) / away.sum((2,"
        " 3)).clamp_min(1e-9)\n"
        "    return torch.where(active, each.mean(0), 0.0)",
    ),
)


slip(
    share_on,
    "targets_of_the_first",
    "every prompt was held against the first one's targets.",
    ("targets[:, None, :, 1:]", "targets[:1, None, :, 1:]"),
)


slip(
    share_on,
    "queries_with_a_target_only",
    "queries without a target were left out. What they attend to counts below the line: sum "
    "over all queries.",
    (
        "total = away.sum(dim=(0, 2, 3))",
        "total = (away * targets.any(-1)[:, None, :, None]).sum(dim=(0, 2, 3))",
    ),
)


slip(
    share_on,
    "own_position_left_out",
    "attention to the own position was left out below the line. All that leaves BOS counts.",
    (
        "total = away.sum(dim=(0, 2, 3))",
        "total = (away * (1 - torch.eye(pattern.shape[-1])[:, 1:])).sum(dim=(0, 2, 3))",
    ),
)
