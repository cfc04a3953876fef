"""Right answers to `interactions`, written in other ways than the reference."""

from itertools import combinations

import numpy as np
import torch

from .patch_heads import heads_by_concatenation, heads_by_stages


def by_combinations(model, clean_prompt, corrupt_prompt, metric, heads, mode="denoising"):
    order = (
        (clean_prompt, corrupt_prompt) if mode == "denoising" else (corrupt_prompt, clean_prompt)
    )
    start = float(metric(model(order[1])))
    single = [float(metric(heads_by_stages(model, *order, [head]))) - start for head in heads]
    result = torch.diag(torch.tensor(single, dtype=torch.float64))
    for i, j in combinations(range(len(heads)), 2):
        both = float(metric(heads_by_stages(model, *order, [heads[i], heads[j]]))) - start
        result[i, j] = result[j, i] = both - single[i] - single[j]
    return result


def by_numpy(model, clean_prompt, corrupt_prompt, metric, heads, mode="denoising"):
    order = {"denoising": (clean_prompt, corrupt_prompt), "noising": (corrupt_prompt, clean_prompt)}
    values = np.array([
        [float(metric(heads_by_concatenation(model, *order[mode], [a, b]))) for b in heads]
        for a in heads
    ])  # fmt: skip
    values -= float(metric(model(order[mode][1])))
    single = values.diagonal().copy()
    surplus = values - single[:, None] - single[None]
    np.fill_diagonal(surplus, single)
    return torch.from_numpy(surplus).float()


RIGHT = [by_combinations, by_numpy]
