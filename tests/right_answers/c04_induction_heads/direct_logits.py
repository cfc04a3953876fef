"""Right answers to `direct_logits`, written in other ways than the reference."""

import torch
from einops import einsum


def direct_by_columns(z, W_O, scale, W_U, targets):
    centred = (W_U - W_U.mean(1, keepdim=True)).T[targets]  # [batch, pos, d_model]
    return (z @ W_O / scale * centred).sum(-1)


def direct_by_einsum(z, W_O, scale, W_U, targets):
    logits = einsum(z, W_O, W_U, "b p h, h m, m v -> b p v") / scale
    logits = logits - logits.mean(dim=-1, keepdim=True)
    return logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def direct_by_loop(z, W_O, scale, W_U, targets):
    scale = scale.expand(z.shape[0], z.shape[1], 1).double()
    rows = []
    for b in range(z.shape[0]):
        row = []
        for i, target in enumerate(targets[b].tolist()):
            push = (z[b, i].double() @ W_O.double() / scale[b, i]) @ W_U.double()
            row.append(push[target] - push.mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)


RIGHT = [direct_by_columns, direct_by_einsum, direct_by_loop]
