"""Right answers to `split_heads`, written in other ways than the reference."""

import numpy as np
import torch


def split_by_reshape(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1)


def split_by_chunks(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=-2)


def split_in_double(x, n_heads):
    array = np.asarray(x, dtype=np.float64)
    return torch.from_numpy(array.reshape(x.size(0), x.size(1), n_heads, x.size(2) // n_heads))


RIGHT = [split_by_reshape, split_by_chunks, split_in_double]
