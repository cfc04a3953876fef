"""Right answers to `value_weighted`, written in other ways than the reference."""

import torch


def weighted_by_loop(pattern, v, W_O):
    out = torch.zeros_like(pattern)
    for b in range(pattern.shape[0]):
        for h in range(pattern.shape[1]):
            for k in range(pattern.shape[3]):
                out[b, h, :, k] = pattern[b, h, :, k] * torch.linalg.norm(v[b, k, h] @ W_O[h])
    return out


def weighted_by_matmul_in_double(pattern, v, W_O):
    written = v.double().transpose(1, 2) @ W_O.double()  # [batch, head, k, d_model]
    return torch.einsum("bhqk,bhk->bhqk", pattern.double(), written.square().sum(-1).sqrt())


def weighted_by_vectors(pattern, v, W_O):
    brought = torch.einsum("bhqk,bkhd,hdm->bhqkm", pattern, v, W_O)
    return brought.norm(dim=-1)


RIGHT = [weighted_by_loop, weighted_by_matmul_in_double, weighted_by_vectors]
