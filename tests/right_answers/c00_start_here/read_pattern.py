"""Right answers to `read_pattern`, written in other ways than the reference."""

import torch


def pattern_by_full_name(model, tokens, layer, head):
    _, cache = model.run_with_cache(tokens, names_filter=f"blocks.{layer}.attn.hook_pattern")
    return cache[f"blocks.{layer}.attn.hook_pattern"][:, head, :, :]


def pattern_by_hook(model, tokens, layer, head):
    kept = {}

    def keep(pattern, hook):
        kept[hook.name] = pattern.detach()

    name = f"blocks.{layer}.attn.hook_pattern"
    model.run_with_hooks(tokens, fwd_hooks=[(name, keep)])
    return kept[name].index_select(1, torch.tensor([head])).squeeze(1)


RIGHT = [pattern_by_full_name, pattern_by_hook]
