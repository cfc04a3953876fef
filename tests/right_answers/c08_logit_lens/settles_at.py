"""Right answers to `settles_at`, written in other ways than the reference."""

import numpy as np


def settles_by_loop(logits):
    tops = logits.argmax(-1).tolist()
    for state in range(len(tops)):
        if set(tops[state:]) == {tops[-1]}:
            return state


def settles_by_products(logits):
    agrees = (logits.argmax(-1) == logits[-1].argmax()).int()
    return len(agrees) - agrees.flip(0).cumprod(0).sum()


def settles_by_numpy(logits):
    top = np.asarray(logits).argmax(-1)
    return np.flatnonzero(np.append(True, top != top[-1])).max()


RIGHT = [settles_by_loop, settles_by_products, settles_by_numpy]
