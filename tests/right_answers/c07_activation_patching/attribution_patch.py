"""Right answers to `attribution_patch`, written in other ways than the reference."""

import torch
from einops import einsum
from transformer_lens import utilities as utils


def attribution_by_backward(model, clean_prompt, corrupt_prompt, metric):
    _, clean = model.run_with_cache(clean_prompt)
    values, slopes = {}, {}

    def forward(z, hook):
        z = z if z.requires_grad else z.requires_grad_()
        values[hook.name] = z.detach().clone()
        z.register_hook(lambda gradient: slopes.__setitem__(hook.name, gradient))
        return z

    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    with torch.enable_grad():
        logits = model.run_with_hooks(corrupt_prompt, fwd_hooks=[(n, forward) for n in names])
        metric(logits).backward()
    return torch.stack([
        einsum(clean[n] - values[n], slopes[n], "b p h d, b p h d -> h") for n in names
    ])  # fmt: skip


def attribution_by_leaves(model, clean_prompt, corrupt_prompt, metric):
    names = [utils.get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
    _, clean = model.run_with_cache(clean_prompt)
    _, corrupted = model.run_with_cache(corrupt_prompt)
    share = {name: torch.zeros(model.cfg.n_heads, requires_grad=True) for name in names}

    def move(z, hook):
        step = clean[hook.name] - corrupted[hook.name]
        return z + share[hook.name][None, None, :, None] * step

    with torch.enable_grad():
        logits = model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, move) for name in names])
        return torch.stack(torch.autograd.grad(metric(logits), list(share.values())))


RIGHT = [attribution_by_backward, attribution_by_leaves]
