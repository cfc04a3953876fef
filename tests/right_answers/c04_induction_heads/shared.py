"""What several right answers of the chapter use."""

import numpy as np
import torch


def repeated_by_global_seed(batch, period, d_vocab, bos, seed):
    torch.manual_seed(seed)
    tokens = torch.zeros(batch, 1 + 2 * period, dtype=torch.long)
    tokens[:, 0] = bos
    others = torch.tensor([token for token in range(d_vocab) if token != bos])
    tokens[:, 1 : 1 + period] = others[torch.randint(len(others), (batch, period))]
    tokens[:, 1 + period :] = tokens[:, 1 : 1 + period]
    return tokens


def repeated_by_numpy(batch, period, d_vocab, bos, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(batch):
        half = [int(x) for x in rng.integers(d_vocab, size=period)]
        rows.append([bos] + 2 * half)
    return torch.tensor(rows)


def score_by_loop(pattern, period):
    total = 0.0
    for i in range(period):
        total = total + pattern[..., 1 + period + i, 2 + i]
    return total / period


def score_by_mask(pattern, period):
    pos = pattern.size(-1)
    mask = torch.zeros(pos, pos, dtype=torch.float64)
    for q in range(period + 1, pos):
        mask[q, q - period + 1] = 1
    return torch.einsum("...qk,qk->...", pattern.double(), mask) / mask.sum()


def score_by_corner(pattern, period):
    corner = pattern[..., 1 + period :, 2 : 2 + period]
    return torch.diagonal(corner, dim1=-2, dim2=-1).mean(dim=-1)


def _patterns(model, period, batch, seed):
    tokens = repeated_by_numpy(batch, period, model.cfg.d_vocab, 0, seed)
    _, cache = model.run_with_cache(tokens)
    return cache


def _fitting(model, period):
    return min(period, (model.cfg.n_ctx - 1) // 2)


def find_by_list(model, periods=(50, 40, 30), batch=8, threshold=0.35, seed=0):
    rows = []
    caches = [(p, _patterns(model, p, batch, seed)) for p in {_fitting(model, p) for p in periods}]
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            scores = [
                score_by_loop(cache[f"blocks.{layer}.attn.hook_pattern"][:, head], p).mean().item()
                for p, cache in caches
            ]
            rows.append((min(scores), layer, head))
    rows.sort()
    return [[layer, head] for score, layer, head in reversed(rows) if score >= threshold]


def find_by_topk(model, periods=(50, 40, 30), batch=8, threshold=0.35, seed=0):
    at_each = []
    for period in periods:
        period = _fitting(model, period)
        cache = _patterns(model, period, batch, seed)
        layers = [cache["pattern", i] for i in range(model.cfg.n_layers)]
        at_each.append(score_by_corner(torch.stack(layers), period).mean(dim=1))
    scores = torch.stack(at_each).amin(0)
    order = torch.argsort(scores.flatten(), descending=True)
    heads = torch.stack([order // scores.shape[1], order % scores.shape[1]], dim=1)
    return tuple((int(i), int(j)) for i, j in heads if scores[i, j] > threshold)
