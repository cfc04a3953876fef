"""Right answers to chapter 00, written in other ways than the reference."""

import numpy as np
import torch


def split_by_reshape(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1)


def split_by_chunks(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=-2)


def split_in_double(x, n_heads):
    array = np.asarray(x, dtype=np.float64)
    return torch.from_numpy(array.reshape(x.size(0), x.size(1), n_heads, x.size(2) // n_heads))


def project_by_loop(x, W):
    out = x.new_zeros(x.shape[0], x.shape[1], W.shape[0], W.shape[2])
    for head in range(W.shape[0]):
        out[:, :, head] = torch.matmul(x, W[head])
    return out


def project_by_broadcast(x, W):
    return (x[:, :, None, None, :] @ W).squeeze(-2)


def project_by_letters(x, W):
    return torch.einsum("abc,dce->abde", x.double(), W.double())


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


def zero_by_copy(model, tokens, layer, head):
    def silence(z, hook):
        z = z.clone()
        z[..., head, :] = 0
        return z

    return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", silence)])


def zero_by_mask(model, tokens, layer, head):
    keep = torch.ones(model.cfg.n_heads)
    keep[head] = 0
    hook = lambda z, hook: z * keep[:, None]  # noqa: E731
    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", hook)]):
        return model(tokens)


def zero_by_pattern(model, tokens, layer, head):
    def silence(pattern, hook):
        pattern[:, head] = 0.0
        return pattern

    name = f"blocks.{layer}.attn.hook_pattern"
    return model.run_with_hooks(tokens, return_type="logits", fwd_hooks=[(name, silence)])


RIGHT = {
    "split_heads": [split_by_reshape, split_by_chunks, split_in_double],
    "project_heads": [project_by_loop, project_by_broadcast, project_by_letters],
    "read_pattern": [pattern_by_full_name, pattern_by_hook],
    "zero_head": [zero_by_copy, zero_by_mask, zero_by_pattern],
}
