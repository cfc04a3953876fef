"""Right answers to `copy_score`, written in other ways than the reference."""

import torch


def copies_by_loop(model, batch, head, where="IO", sign=1):
    layer, index = head
    _, cache = model.run_with_cache(batch.tokens)
    v = cache["v", layer]
    group = index // (model.cfg.n_heads // v.shape[2])
    hits = 0
    for i, place in enumerate(batch.positions[where].tolist()):
        logits = sign * (v[i, place, group] @ model.W_O[layer, index] @ model.W_U)
        hits += int(batch.tokens[i, place]) in logits.argsort(descending=True)[:5].tolist()
    return hits / len(batch.tokens)


def copies_by_a_hook_and_ranks(model, batch, head, where="IO", sign=1):
    layer, index = head
    kept = {}

    def keep(v, hook):
        kept["v"] = v.repeat_interleave(model.cfg.n_heads // v.shape[2], dim=2)[:, :, index]

    model.run_with_hooks(batch.tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_v", keep)])
    at = torch.nn.functional.one_hot(batch.positions[where], batch.tokens.shape[1]).float()
    value = torch.einsum("bp,bpd->bd", at, kept["v"])
    logits = sign * (value @ (model.W_O[layer, index] @ model.W_U))
    names = (batch.tokens * at.long()).sum(1)
    own = logits.gather(1, names[:, None])
    return ((logits > own).sum(1) < 5).double().mean()


RIGHT = [copies_by_loop, copies_by_a_hook_and_ranks]
