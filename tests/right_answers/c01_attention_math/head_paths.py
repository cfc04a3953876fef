"""Right answers to `head_paths`, written in other ways than the reference."""

import torch


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


RIGHT = [paths_by_ablation, paths_as_tuple, paths_through_circuits]
