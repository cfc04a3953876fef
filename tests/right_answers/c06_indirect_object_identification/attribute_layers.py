"""Right answers to `attribute_layers`, written in other ways than the reference."""

import torch
from einops import einsum


def layers_by_transformer_lens(cache, direction):
    written = cache.decompose_resid(layer=-1, mode="all", incl_embeds=False, pos_slice=-1)
    embedding = cache["resid_pre", 0][None, :, -1]
    written = torch.cat([embedding, written])
    scaled = cache.apply_ln_to_stack(written, layer=-1, pos_slice=-1)
    return einsum(scaled, direction, "component batch d, batch d -> component batch")


def layers_by_loop(cache, direction):
    rows = []
    read = direction.double() / cache["scale"][:, -1].double()
    names = ["blocks.0.hook_resid_pre"]
    for layer in range(cache.model.cfg.n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    for name in names:
        rows.append([float(x @ d) for x, d in zip(cache[name][:, -1].double(), read, strict=True)])
    return torch.tensor(rows, dtype=torch.float64)


def layers_centred(cache, direction):
    """Takes the mean away too, which the directions make unnecessary."""
    parts = [cache["resid_pre", 0]]
    for layer in range(cache.model.cfg.n_layers):
        parts.extend((cache["attn_out", layer], cache["mlp_out", layer]))
    parts = torch.stack([part[:, -1] - part[:, -1].mean(-1, keepdim=True) for part in parts])
    return (parts * direction).sum(-1) / cache["ln_final.hook_scale"][:, -1, 0]


RIGHT = [layers_by_transformer_lens, layers_by_loop, layers_centred]
