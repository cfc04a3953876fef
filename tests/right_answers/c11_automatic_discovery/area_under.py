"""Right answers to `area_under`, written in other ways than the reference."""

import numpy as np
import torch


def by_torch(shares, values):
    return torch.trapezoid(torch.tensor(values), torch.tensor(shares))


def by_numpy(shares, values):
    return float(np.sum(np.diff(shares) * (np.array(values[1:]) + np.array(values[:-1]))) / 2)


RIGHT = [by_torch, by_numpy]
