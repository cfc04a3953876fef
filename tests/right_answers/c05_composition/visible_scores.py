"""Right answers to `visible_scores`, written in other ways than the reference."""

import torch


def visible_by_nan(scores):
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    hidden = scores.masked_fill(future, torch.nan)
    return (hidden - hidden.nanmean(-1, keepdim=True)).nan_to_num(0.0)


def visible_by_loop(scores):
    out = torch.zeros(scores.shape, dtype=torch.float64)
    for q in range(scores.shape[-2]):
        row = scores[..., q, : q + 1].double()
        out[..., q, : q + 1] = row - row.sum(-1, keepdim=True) / (q + 1)
    return out


RIGHT = [visible_by_nan, visible_by_loop]
