"""Right answers to chapter 01, written in other ways than the reference."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from transformer_lens import FactoredMatrix


def scores_by_matmul(q, k):
    return torch.matmul(q / math.sqrt(q.size(-1)), k.transpose(2, 3))


def scores_by_loops(q, k):
    batch, heads, pos, d_head = q.shape
    rows = []
    for b in range(batch):
        for h in range(heads):
            rows.append([[float(q[b, h, i] @ k[b, h, j]) / d_head**0.5 for j in range(pos)]
                         for i in range(pos)])  # fmt: skip
    return torch.tensor(rows).view(batch, heads, pos, pos)


def scores_in_double(q, k):
    scale = np.sqrt(q.shape[-1])
    return torch.from_numpy(np.einsum("bhid,bhjd->bhij", q.double(), k.double()) / scale)


def variance_with_global_seed(d_head, n_samples, scaled, seed):
    torch.manual_seed(seed)
    q = torch.randn(n_samples, d_head)
    k = torch.randn(n_samples, d_head)
    scores = torch.einsum("nd,nd->n", q, k)
    return float(torch.var(scores / math.sqrt(d_head) if scaled else scores))


def variance_by_numpy(d_head, n_samples, scaled, seed):
    rng = np.random.default_rng(seed)
    q, k = rng.standard_normal((2, n_samples, d_head))
    variance = (q * k).sum(axis=1).var()
    return variance / d_head if scaled else variance


def variance_by_hand(d_head, n_samples, scaled, seed):
    g = torch.Generator().manual_seed(seed)
    scores = []
    for _ in range(n_samples):
        q, k = torch.randn(d_head, generator=g), torch.randn(d_head, generator=g)
        scores.append((q @ k).item() / (d_head**0.5 if scaled else 1))
    mean = sum(scores) / n_samples
    return torch.tensor(sum((s - mean) ** 2 for s in scores) / n_samples)


def mask_with_where(scores):
    pos = scores.shape[-1]
    i, j = torch.arange(pos)[:, None], torch.arange(pos)[None]
    return torch.where(j <= i, scores, -torch.inf)


def mask_with_lowest_number(scores):
    allowed = torch.ones_like(scores).tril().bool()
    return scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)


def mask_by_adding(scores):
    upper = torch.full(scores.shape[-2:], -1e9).triu(1)
    return scores + upper


def mask_by_loop(scores):
    masked = scores.clone().double()
    for i in range(masked.shape[-2]):
        masked[:, :, i, i + 1 :] = float("-inf")
    return masked


def pattern_by_renormalising(scores):
    weights = scores.double().softmax(-1).tril()
    return weights / weights.sum(-1, keepdim=True)


def pattern_by_exponentials(scores):
    masked = torch.where(torch.ones_like(scores).tril() > 0, scores, -torch.inf)
    top = masked.max(dim=-1, keepdim=True).values
    weights = torch.exp(masked - top)
    return weights / weights.sum(dim=-1, keepdim=True)


def pattern_functional(scores):
    return F.softmax(mask_by_adding(scores), dim=3)


def mix_by_matmul(pattern, v):
    return pattern @ v


def mix_by_broadcast(pattern, v):
    return (pattern[..., None] * v[:, :, None]).sum(dim=-2)


def mix_by_letters(pattern, v):
    return torch.einsum("abqk,abkd->abqd", pattern.double(), v.double())


def groups_by_index(k, n_heads):
    size = n_heads // k.shape[2]
    return k[:, :, torch.arange(n_heads) // size]


def groups_by_expand(k, n_heads):
    batch, pos, groups, d_head = k.shape
    copies = k.unsqueeze(3).expand(batch, pos, groups, n_heads // groups, d_head)
    return copies.reshape(batch, pos, n_heads, d_head)


def groups_by_einops(k, n_heads):
    from einops import repeat

    size = n_heads // k.shape[2]
    return repeat(k, "b p g d -> b p (g copy) d", copy=size)


def layer_by_loop(x, W_Q, W_K, W_V, W_O):
    out = torch.zeros_like(x)
    for h in range(W_Q.shape[0]):
        scores = (x @ W_Q[h]) @ (x @ W_K[h]).mT / W_Q.shape[-1] ** 0.5
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf"))
        out = out + scores.softmax(-1) @ (x @ W_V[h]) @ W_O[h]
    return out


def layer_by_concatenation(x, W_Q, W_K, W_V, W_O):
    q, k, v = (torch.einsum("bpm,hmd->bhpd", x, W) for W in (W_Q, W_K, W_V))
    z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return z.transpose(1, 2).flatten(2) @ W_O.flatten(0, 1)


def layer_in_double(x, W_Q, W_K, W_V, W_O):
    x, W_Q, W_K, W_V, W_O = (t.double() for t in (x, W_Q, W_K, W_V, W_O))
    qk = torch.einsum("bim,hmd,hnd,bjn->bhij", x, W_Q, W_K, x) / W_Q.shape[-1] ** 0.5
    pattern = pattern_by_exponentials(qk)
    return torch.einsum("bhij,bjm,hmd,hdn->bin", pattern, x, W_V, W_O)


def qk_by_mt(W_Q, W_K):
    return FactoredMatrix(W_Q, W_K.mT)


def qk_in_double(W_Q, W_K):
    return FactoredMatrix(A=W_Q.double(), B=W_K.double().swapaxes(-1, -2))


def qk_with_other_factors(W_Q, W_K):
    return FactoredMatrix(2 * W_Q, 0.5 * W_K.transpose(-1, -2))


def ov_by_keyword(W_V, W_O):
    return FactoredMatrix(A=W_V, B=W_O)


def ov_turned(W_V, W_O):
    turn = torch.linalg.qr(torch.randn(W_V.shape[-1], W_V.shape[-1]))[0]
    return FactoredMatrix(W_V @ turn, turn.mT @ W_O)


def frozen_change_then_mix(pattern, x, W_OV):
    values = torch.einsum("bkm,hmn->bhkn", x, W_OV)
    return pattern @ values


def frozen_mix_then_change(pattern, x, W_OV):
    gathered = pattern @ x[:, None]
    return gathered @ W_OV


def frozen_by_loop(pattern, x, W_OV):
    batch, heads, pos, _ = pattern.shape
    out = torch.zeros(batch, heads, pos, x.shape[-1], dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            out[b, h] = pattern[b, h].double() @ x[b].double() @ W_OV[h].double()
    return out


def paths_by_ablation(model, tokens):
    def without(heads):
        def silence(z, hook):
            z[:, :, heads] = 0.0
            return z

        return model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", silence)])

    n_heads = model.cfg.n_heads
    whole = model(tokens)
    parts = [whole - without([h]) for h in range(n_heads)]
    return {"heads": torch.stack(parts), "direct": without(list(range(n_heads)))}


def paths_as_tuple(model, tokens):
    _, cache = model.run_with_cache(tokens)
    direct = model.W_E[tokens] @ model.W_U
    heads = [cache["z", 0][:, :, h] @ model.W_O[0, h] @ model.W_U for h in range(model.cfg.n_heads)]
    return direct, torch.stack(heads)


def paths_through_circuits(model, tokens):
    cache = model.run_with_cache(tokens)[1]
    x = cache["resid_pre", 0]
    W_OVU = model.W_V[0] @ model.W_O[0] @ model.W_U
    heads = torch.einsum("bhqk,bkm,hmv->hbqv", cache["pattern", 0], x, W_OVU)
    return {"direct": x @ model.W_U, "heads": heads.double()}


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


RIGHT = {
    "attention_scores": [scores_by_matmul, scores_by_loops, scores_in_double],
    "score_variance": [variance_with_global_seed, variance_by_numpy, variance_by_hand],
    "causal_mask": [mask_with_where, mask_with_lowest_number, mask_by_adding, mask_by_loop],
    "attention_pattern": [pattern_by_renormalising, pattern_by_exponentials, pattern_functional],
    "mix_values": [mix_by_matmul, mix_by_broadcast, mix_by_letters],
    "expand_grouped_keys": [groups_by_index, groups_by_expand, groups_by_einops],
    "multi_head_attention": [layer_by_loop, layer_by_concatenation, layer_in_double],
    "qk_circuit": [qk_by_mt, qk_in_double, qk_with_other_factors],
    "ov_circuit": [ov_by_keyword, ov_turned],
    "frozen_attention": [frozen_change_then_mix, frozen_mix_then_change, frozen_by_loop],
    "head_paths": [paths_by_ablation, paths_as_tuple, paths_through_circuits],
    "top_skip_trigrams": [trigrams_by_loop, trigrams_as_ids],
}
