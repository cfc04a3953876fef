"""Right answers to `random_composition_baseline`, written in other ways than the reference."""

import numpy as np
import torch
from transformer_lens import FactoredMatrix

from circuits_course.circuits import HeadCircuits

from .shared import score_by_transformer_lens


def baseline_in_one_batch(d_model, d_head, n, seed):
    g = torch.Generator().manual_seed(seed)
    a, b, c, d = (torch.randn(n, d_model, d_head, generator=g) for _ in range(4))
    left, right = FactoredMatrix(a, b.mT), FactoredMatrix(c, d.mT)
    return (left @ right).norm() / left.norm() / right.norm()


def baseline_by_numpy(d_model, d_head, n, seed):
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(n):
        ov = rng.normal(size=(d_model, d_head)) @ rng.normal(size=(d_head, d_model))
        qk = rng.normal(size=(d_model, d_head)) @ rng.normal(size=(d_head, d_model))
        norms = np.linalg.norm(ov) * np.linalg.norm(qk)
        scores.append(np.linalg.norm(ov @ qk.T) / norms)
    return torch.tensor(scores)


def baseline_of_small_weights(d_model, d_head, n, seed):
    torch.manual_seed(seed)
    shapes = [(d_model, d_head)] * 3 + [(d_head, d_model)]
    heads = [HeadCircuits(*(0.02 * torch.randn(s) for s in shapes)) for _ in range(2 * n)]
    return torch.stack(
        [score_by_transformer_lens("K", heads[2 * i], heads[2 * i + 1]) for i in range(n)]
    )


RIGHT = [baseline_in_one_batch, baseline_by_numpy, baseline_of_small_weights]
