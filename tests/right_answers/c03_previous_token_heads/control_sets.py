"""Right answers to `control_sets`, written in other ways than the reference."""

import math
import random
from collections import Counter
from itertools import combinations, product

import numpy as np
import torch


def sets_by_rejection(heads, n_heads, n_sets=23, seed=0):
    rng = random.Random(seed)
    wanted = Counter(layer for layer, _ in heads)
    free = {la: [h for h in range(n_heads) if (la, h) not in heads] for la in wanted}
    exist = math.prod(math.comb(len(free[la]), n) for la, n in wanted.items())
    found = []
    while len(found) < min(n_sets, exist):
        chosen = {(la, h) for la, n in wanted.items() for h in rng.sample(free[la], n)}
        if chosen not in found:
            found.append(chosen)
    return [list(chosen) for chosen in found]


def sets_by_listing_with_torch(heads, n_heads, n_sets=23, seed=0):
    every = [()]
    for layer in sorted({layer for layer, _ in heads}):
        free = [(layer, h) for h in range(n_heads) if (layer, h) not in heads]
        count = sum(la == layer for la, _ in heads)
        every = [done + more for done, more in product(every, combinations(free, count))]
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    return tuple(every[place] for place in order[:n_sets].tolist())


def sets_by_numpy(heads, n_heads, n_sets=23, seed=0):
    rng = np.random.default_rng(seed)
    layers = [layer for layer, _ in heads]
    found = {}
    for _ in range(3000):
        chosen = []
        for layer in dict.fromkeys(layers):
            free = [h for h in range(n_heads) if (layer, h) not in heads]
            drawn = rng.choice(free, layers.count(layer), replace=False)
            chosen += [(layer, int(h)) for h in drawn]
        found[tuple(sorted(chosen))] = None
        if len(found) == n_sets:
            break
    return list(found)


RIGHT = [sets_by_rejection, sets_by_listing_with_torch, sets_by_numpy]
