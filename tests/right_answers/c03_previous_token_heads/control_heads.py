"""Right answers to `control_heads`, written in other ways than the reference."""

import random
from collections import Counter

import numpy as np


def controls_by_sampling(heads, n_heads, seed):
    rng = random.Random(seed)
    drawn = []
    for layer, count in Counter(layer for layer, _ in heads).items():
        others = [h for h in range(n_heads) if (layer, h) not in set(heads)]
        drawn += [(layer, h) for h in rng.sample(others, count)]
    return drawn


def controls_by_rejection(heads, n_heads, seed):
    rng = np.random.default_rng(seed)
    controls = []
    for layer, _ in heads:
        pair = layer, int(rng.integers(n_heads))
        while pair in heads or pair in controls:
            pair = layer, int(rng.integers(n_heads))
        controls.append(pair)
    return tuple(controls)


RIGHT = [controls_by_sampling, controls_by_rejection]
