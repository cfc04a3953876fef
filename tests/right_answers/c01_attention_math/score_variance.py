"""Right answers to `score_variance`, written in other ways than the reference."""

import math

import numpy as np
import torch


def variance_with_global_seed(d_head, n_samples, scaled, seed):
    torch.manual_seed(seed)
    q = torch.randn(n_samples, d_head)
    k = torch.randn(n_samples, d_head)
    scores = torch.einsum("nd,nd->n", q, k)
    return float(torch.var(scores / math.sqrt(d_head) if scaled else scores))


def variance_by_numpy(d_head, n_samples, scaled, seed):
    rng = np.random.default_rng(seed)
    q, k = rng.standard_normal((2, n_samples, d_head))
    variance = (q * k).sum(axis=1).var()
    return variance / d_head if scaled else variance


def variance_by_hand(d_head, n_samples, scaled, seed):
    g = torch.Generator().manual_seed(seed)
    scores = []
    for _ in range(n_samples):
        q, k = torch.randn(d_head, generator=g), torch.randn(d_head, generator=g)
        scores.append((q @ k).item() / (d_head**0.5 if scaled else 1))
    mean = sum(scores) / n_samples
    return torch.tensor(sum((s - mean) ** 2 for s in scores) / n_samples)


RIGHT = [variance_with_global_seed, variance_by_numpy, variance_by_hand]
