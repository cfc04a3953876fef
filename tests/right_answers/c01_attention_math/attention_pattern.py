"""Right answers to `attention_pattern`, written in other ways than the reference."""

from torch.nn import functional as F

from .shared import mask_by_adding, pattern_by_exponentials


def pattern_by_renormalising(scores):
    weights = scores.double().softmax(-1).tril()
    return weights / weights.sum(-1, keepdim=True)


def pattern_functional(scores):
    return F.softmax(mask_by_adding(scores), dim=3)


RIGHT = [pattern_by_renormalising, pattern_by_exponentials, pattern_functional]
