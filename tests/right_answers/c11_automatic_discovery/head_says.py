"""Right answers to `head_says`, written in other ways than the reference."""

import torch
from einops import einsum
from torch.nn.functional import scaled_dot_product_attention


def by_torchs_own(model, layer, head, into_q, into_k, into_v):
    n = into_q.shape[1]
    q = (into_q + model.W_pos[:n]) @ model.W_Q[layer, head]
    k = (into_k + model.W_pos[:n]) @ model.W_K[layer, head]
    v = into_v @ model.W_V[layer, head]
    mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed @ model.W_O[layer, head]


def in_float64(model, layer, head, into_q, into_k, into_v):
    place = model.W_pos[: into_q.shape[1]].double()
    q = (into_q.double() + place) @ model.W_Q[layer, head].double()
    k = (into_k.double() + place) @ model.W_K[layer, head].double()
    said = into_v.double() @ model.W_V[layer, head].double() @ model.W_O[layer, head].double()
    scores = einsum(q, k, "b q d, b k d -> b q k") / model.W_Q.shape[-1] ** 0.5
    weights = scores.exp().tril()
    return (weights / weights.sum(-1, keepdim=True)) @ said


def by_QK(model, layer, head, into_q, into_k, into_v):
    place = model.W_pos[: into_q.shape[1]]
    W_QK = model.W_Q[layer, head] @ model.W_K[layer, head].T
    scores = (into_q + place) @ W_QK @ (into_k + place).transpose(1, 2)
    hidden = torch.full(scores.shape[1:], -1e9).triu(1)
    pattern = torch.softmax(scores / model.cfg.attn_scale + hidden, 2)
    return torch.bmm(pattern, into_v) @ model.W_V[layer, head] @ model.W_O[layer, head]


RIGHT = [by_torchs_own, in_float64, by_QK]
