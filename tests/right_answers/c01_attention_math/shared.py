"""What several right answers of the chapter use."""

import torch


def mask_by_adding(scores):
    upper = torch.full(scores.shape[-2:], -1e9).triu(1)
    return scores + upper


def pattern_by_exponentials(scores):
    masked = torch.where(torch.ones_like(scores).tril() > 0, scores, -torch.inf)
    top = masked.max(dim=-1, keepdim=True).values
    weights = torch.exp(masked - top)
    return weights / weights.sum(dim=-1, keepdim=True)
