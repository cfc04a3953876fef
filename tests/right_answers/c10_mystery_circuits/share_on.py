"""Right answers to `share_on`, written in other ways than the reference."""

import numpy as np
import torch
from einops import einsum


def share_by_einsum(pattern, targets):
    on = einsum(pattern.double(), targets.double(), "b h q k, b q k -> h")
    off = einsum(pattern[..., 1:].double(), "b h q k -> h")
    return torch.where(off / pattern.sum((0, 2, 3)) < 0.02, torch.zeros_like(on), on / off)


def share_by_numpy(pattern, targets):
    shares = []
    for h in range(pattern.shape[1]):
        p = pattern[:, h].numpy()
        off = p[:, :, 1:].sum()
        on = np.where(targets.numpy(), p, 0.0).sum()
        shares.append(float(on / off) if off >= 0.02 * p.sum() else 0.0)
    return torch.tensor(shares)


RIGHT = [share_by_einsum, share_by_numpy]
