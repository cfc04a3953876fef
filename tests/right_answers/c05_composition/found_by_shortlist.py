"""Right answers to `found_by_shortlist`, written in other ways than the reference."""

import numpy as np


def by_sets(scores, effects, size, least):
    shortlist = set(scores.argsort(descending=True)[:size].tolist())
    matter = {i for i, effect in enumerate(effects.tolist()) if effect >= least}
    return len(matter & shortlist) / len(matter) if matter else 1.0


def by_ranks(scores, effects, size, least):
    ranks = (scores[None] > scores[:, None]).sum(1)
    matters = effects >= least
    return ((ranks < size) & matters).sum() / matters.sum() if matters.any() else 1.0


def by_numpy(scores, effects, size, least):
    order = np.argsort(-scores.numpy())[:size]
    matters = effects.numpy() >= least
    return float(matters[order].sum() / matters.sum()) if matters.sum() else 1


RIGHT = [by_sets, by_ranks, by_numpy]
