"""Right answers to `zero_head`, written in other ways than the reference."""

import torch


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


RIGHT = [zero_by_copy, zero_by_mask, zero_by_pattern]
