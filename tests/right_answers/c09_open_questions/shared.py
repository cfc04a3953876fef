"""What several right answers of the chapter use."""

import torch
from einops import einsum, rearrange


def masks_by_loops(tokens):
    batch, pos = tokens.shape
    names = ["induction", "duplicate token", "previous token"]  # in any order
    masks = {name: torch.zeros(batch, pos, pos) for name in names}
    for b in range(batch):
        for q in range(pos):
            for k in range(1, q + 1):
                if k + 1 == q:
                    masks["previous token"][b, q, k] = 1
                if k < q and tokens[b, k] == tokens[b, q]:
                    masks["duplicate token"][b, q, k] = 1
                if tokens[b, k - 1] == tokens[b, q]:
                    masks["induction"][b, q, k] = 1
    return masks


def masks_by_tril(tokens):
    pos = tokens.shape[1]
    not_bos = torch.arange(pos) > 0
    previous = torch.diag(torch.ones(pos - 1, dtype=torch.bool), -1) & not_bos
    same = tokens.unsqueeze(2).eq(tokens.unsqueeze(1))
    before = torch.nn.functional.pad(tokens, (1, 0), value=-1)[:, :-1]
    return {
        "previous token": previous,  # the same for every sequence
        "duplicate token": same.tril(-1) & not_bos,
        "induction": tokens.unsqueeze(2).eq(before.unsqueeze(1)).tril() & not_bos,
    }


def profile_by_loops(model, tokens):
    _, cache = model.run_with_cache(tokens)
    profile = {}
    for name, mask in masks_by_loops(tokens).items():
        mask = mask.bool()
        if not mask.any():
            continue
        scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, dtype=torch.float64)
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                found = [
                    cache["pattern", layer][b, head, q][mask[b, q]].sum()
                    for b, q in mask.any(-1).nonzero()
                ]
                scores[layer, head] = torch.stack(found).mean()
        profile[name] = scores
    return profile


def profile_by_einsum(model, tokens):
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("pattern"))
    layers = range(model.cfg.n_layers)
    patterns = torch.stack([cache["pattern", layer] for layer in layers])
    return {
        name: einsum(patterns, mask.expand(len(tokens), -1, -1).float(), "l b h q k, b q k -> l h")
        / mask.expand(len(tokens), -1, -1).any(-1).sum()
        for name, mask in masks_by_tril(tokens).items()
        if mask.any()
    }


def mean_hook(heads):
    def hook_function(z, hook):
        z = z.clone()
        for head in heads:
            z[..., head, :] = rearrange(z[..., head, :], "b p d -> (b p) d").mean(0)
        return z

    return hook_function


def costs_by_lists(model, tokens, loss):
    before = loss(model, tokens)
    rows = []
    for layer in range(model.cfg.n_layers):
        row = []
        for head in range(model.cfg.n_heads):
            model.add_hook(f"blocks.{layer}.attn.hook_z", mean_hook([head]))
            row.append(loss(model, tokens) - before)
            model.reset_hooks()
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)
