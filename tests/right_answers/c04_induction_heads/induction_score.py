"""Right answers to `induction_score`, written in other ways than the reference."""

import torch
from einops import reduce

from .shared import score_by_corner, score_by_loop, score_by_mask


def score_by_index(pattern, period):
    q = torch.arange(period + 1, 2 * period + 1)
    return reduce(pattern[..., q, q + 1 - period], "... q -> ...", "mean")


RIGHT = [score_by_loop, score_by_mask, score_by_corner, score_by_index]
