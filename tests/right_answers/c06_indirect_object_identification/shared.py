"""What several right answers of the chapter use."""

import torch
from einops import einsum


def _by_loop(model, batch, query, key):
    _, cache = model.run_with_cache(batch.tokens)
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for i in range(len(batch)):
            q, k = batch.positions[query][i], batch.positions[key][i]
            scores[layer] += cache["pattern", layer][i, :, q, k] / len(batch)
    return scores


def _by_hooks(model, batch, query, key):
    scores = {}
    one_hot = torch.nn.functional.one_hot
    q, k = (one_hot(batch.positions[x], batch.tokens.shape[1]).float() for x in (query, key))

    def keep(pattern, hook):
        scores[hook.layer()] = einsum(pattern, q, k, "b h q k, b q, b k -> b h").mean(0)

    model.run_with_hooks(batch.tokens, fwd_hooks=[(lambda n: n.endswith("hook_pattern"), keep)])
    return torch.stack([scores[layer] for layer in sorted(scores)])


def faithful_by_lists(F, model_heads, circuit):
    scores = [F(sorted(heads)) for heads in (model_heads, circuit)]
    return max(scores) - min(scores)
