"""Right answers to `mix_values`, written in other ways than the reference."""

import torch


def mix_by_matmul(pattern, v):
    return pattern @ v


def mix_by_broadcast(pattern, v):
    return (pattern[..., None] * v[:, :, None]).sum(dim=-2)


def mix_by_letters(pattern, v):
    return torch.einsum("abqk,abkd->abqd", pattern.double(), v.double())


RIGHT = [mix_by_matmul, mix_by_broadcast, mix_by_letters]
