"""Right answers to `head_similarity`, written in other ways than the reference."""

import torch
from einops import einsum


def similarity_by_torch(pattern):
    total, count = 0.0, 0
    for row in pattern:
        for i in range(len(row)):
            for j in range(i + 1, len(row)):
                total += torch.cosine_similarity(row[i].flatten(), row[j].flatten(), dim=0)
                count += 1
    return total / count


def similarity_by_einsum(pattern):
    unit = torch.nn.functional.normalize(pattern.double().flatten(2), dim=2)
    table = einsum(unit, unit, "b i d, b j d -> b i j")
    n = pattern.shape[1]
    return (table.sum((1, 2)) - n).mean() / (n * (n - 1))


RIGHT = [similarity_by_torch, similarity_by_einsum]
