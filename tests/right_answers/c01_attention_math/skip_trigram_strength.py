"""Right answers to `skip_trigram_strength`, written in other ways than the reference."""

import math

import torch


def strength_by_loop(model, head):
    q, keys = model.W_E @ model.W_Q[0, head], model.W_E @ model.W_K[0, head]
    adds = model.W_E @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
    d_vocab = len(adds)
    strength = torch.zeros(d_vocab, d_vocab, d_vocab)
    for dest in range(d_vocab):
        shares = torch.softmax(keys @ q[dest] / math.sqrt(model.cfg.d_head), 0)
        for source in range(d_vocab):
            strength[source, dest] = shares[source] * adds[source]
    return strength


def strength_by_broadcast(model, head):
    qk, ov = model.blocks[0].attn.QK[head], model.blocks[0].attn.OV[head]
    scores = (model.W_E @ qk.AB @ model.W_E.mT).double() / model.cfg.d_head**0.5
    attention = scores.softmax(1)
    return attention.T[:, :, None] * (model.W_E @ ov.AB @ model.W_U).double()[:, None]


RIGHT = [strength_by_loop, strength_by_broadcast]
