"""Right answers to `decompose_keys`, written in other ways than the reference."""

import numpy as np
import torch


def keys_by_differences(model, tokens, layer, head):
    """Scores of the plain run and of runs with one source at a time kept from the keys' input."""
    _, cache = model.run_with_cache(tokens)
    q, W_K = cache["q", layer][:, :, head], model.W_K[layer, head]

    def part(x):
        return torch.einsum("bqd,bkd->bqk", q, x @ W_K) / model.cfg.attn_scale

    parts = [part(model.W_E[tokens] + model.W_pos[: tokens.shape[1]][None])]
    for below in range(layer):
        z, W_O = cache["z", below], model.W_O[below]
        results = torch.einsum("bphd,hdm->hbpm", z, W_O)
        parts += [part(write) for write in results]
    future = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
    return torch.stack(parts).masked_fill(future, -torch.inf)


def keys_in_double(model, tokens, layer, head):
    _, cache = model.run_with_cache(tokens)
    x = cache["embed"] + cache["hook_qk_pos"]
    writes = [x] + [
        cache[f"blocks.{below}.attn.hook_z"][..., h, :] @ model.blocks[below].attn.W_O[h]
        for below in range(layer)
        for h in range(model.cfg.n_heads)
    ]
    q = cache[f"blocks.{layer}.attn.hook_q"][..., head, :].double()
    out = [q @ (w @ model.W_K[layer][head]).double().transpose(1, 2) for w in writes]
    return torch.stack(out) / np.sqrt(model.cfg.d_head)


RIGHT = [keys_by_differences, keys_in_double]
