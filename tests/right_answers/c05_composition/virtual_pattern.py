"""Right answers to `virtual_pattern`, written in other ways than the reference."""

import torch


def pattern_by_einsum(pattern_a, pattern_b):
    return torch.einsum("...qm,...mk->...qk", pattern_b, pattern_a)


def pattern_by_loop(pattern_a, pattern_b):
    out = torch.zeros(pattern_a.shape, dtype=torch.float64)
    for q in range(out.shape[-2]):
        for k in range(out.shape[-1]):
            out[..., q, k] = (pattern_b[..., q, :] * pattern_a[..., :, k]).sum(-1)
    return out


RIGHT = [pattern_by_einsum, pattern_by_loop]
