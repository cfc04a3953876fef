"""Right answers to `top_skip_trigrams`, written in other ways than the reference."""

import math

import torch


def trigrams_by_loop(model, head, source, k):
    words = model.cfg.vocabulary
    s = words.index(source)
    q, keys = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    adds = model.W_E[s] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    found = []
    for d, dest in enumerate(words):
        share = torch.softmax(keys @ q[d] / model.cfg.d_head**0.5, 0)[s].item()
        found += [(dest, out, share * adds[o].item()) for o, out in enumerate(words)]
    return sorted(found, key=lambda row: row[2], reverse=True)[:k]


def trigrams_as_ids(model, head, source, k):
    s = model.to_single_token(source)
    qk = model.blocks[0].attn.QK[head]
    ov = model.blocks[0].attn.OV[head]
    scores = (model.W_E @ qk.AB @ model.W_E.mT).double() / math.sqrt(model.cfg.d_head)
    table = torch.outer(scores.softmax(1)[:, s], (model.W_E[s] @ ov.AB @ model.W_U).double())
    order = table.flatten().argsort(descending=True)[:k]
    size = table.shape[1]
    return [[int(i) // size, int(i) % size, table.flatten()[i]] for i in order]


RIGHT = [trigrams_by_loop, trigrams_as_ids]
