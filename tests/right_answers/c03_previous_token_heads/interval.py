"""Right answers to `interval`, written in other ways than the reference."""

import random

import numpy as np
import torch


def interval_by_loop(values, n_resamples=2000, seed=0):
    rng = random.Random(seed)
    numbers = values.tolist()
    means = []
    for _ in range(n_resamples):
        drawn = [rng.choice(numbers) for _ in numbers]
        means.append(sum(drawn) / len(drawn))
    means.sort()
    tail = round(0.025 * n_resamples)
    return sum(numbers) / len(numbers), means[tail], means[-tail - 1]


def interval_by_numpy(values, n_resamples=2000, seed=0):
    array = values.numpy()
    places = np.random.default_rng(seed).integers(len(array), size=(n_resamples, len(array)))
    low, high = np.percentile(array[places].mean(axis=1), [2.5, 97.5])
    return float(array.mean()), float(low), float(high)


def interval_by_counts(values, n_resamples=2000, seed=0):
    torch.manual_seed(seed)
    n = len(values)
    counts = torch.distributions.Multinomial(n, torch.ones(n)).sample((n_resamples,))
    means = (counts @ values) / n
    return [values.mean(), means.quantile(0.025), means.quantile(0.975)]


RIGHT = [interval_by_loop, interval_by_numpy, interval_by_counts]
