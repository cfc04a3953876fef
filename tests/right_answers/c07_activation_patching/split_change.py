"""Right answers to `split_change`, written in other ways than the reference."""

import torch
from torch.nn.functional import cross_entropy


def by_cross_entropy(before, after, right, wrong):
    def loss(run, tokens):
        return cross_entropy(run[:, -1], tokens)

    return torch.stack([
        loss(before, right) - loss(after, right), loss(after, wrong) - loss(before, wrong)
    ])  # fmt: skip


def by_gather(before, after, right, wrong):
    pair = torch.stack([right, wrong], -1)
    found = [
        run[:, -1].double().log_softmax(-1).gather(-1, pair).mean(0) for run in (before, after)
    ]
    return (found[1] - found[0]) * torch.tensor([1, -1])


RIGHT = [by_cross_entropy, by_gather]
