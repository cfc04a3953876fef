"""Right answers to `train_tuned_lens`, written in other ways than the reference."""

from types import SimpleNamespace

import torch
from einops import einsum

from circuits_course.circuits import TunedLens


def lens_by_sgd_on_all_tokens(model, states, start, steps=60, batch=64, lr=1e-3, seed=0):
    """One layer after the other, nn.Linear, all places in every step."""
    weights, biases = [], []
    log_p = model.unembed(model.ln_final(states[-1:])).log_softmax(-1)[0]
    for state, first_weight, first_bias in zip(states[:-1], start.weight, start.bias, strict=True):
        layer = torch.nn.Linear(state.shape[-1], state.shape[-1])
        with torch.no_grad():
            layer.weight.copy_(first_weight)
            layer.bias.copy_(first_bias)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=lr, weight_decay=0.0)
        with torch.enable_grad():
            for _ in range(steps):
                log_q = model.unembed(model.ln_final(layer(state)[None]))[0].log_softmax(-1)
                loss = torch.nn.functional.kl_div(
                    log_q, log_p, reduction="batchmean", log_target=True
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        weights.append(layer.weight.detach())
        biases.append(layer.bias.detach())
    return SimpleNamespace(weight=torch.stack(weights), bias=torch.stack(biases))


def lens_as_a_correction(model, states, start, steps=60, batch=64, lr=1e-3, seed=0):
    """start(x) + x M + b, with M and b from zero."""
    generator = torch.Generator().manual_seed(seed + 5)
    n, d = len(states) - 1, states.shape[-1]
    M = torch.zeros(n, d, d, requires_grad=True)
    b = torch.zeros(n, d, requires_grad=True)
    optimizer = torch.optim.Adam([M, b], lr=lr)
    with torch.enable_grad():
        for _ in range(steps):
            x = states[:, torch.randperm(states.shape[1], generator=generator)[:batch]]
            mapped = start(x[:-1]) + einsum(x[:-1], M, "n p i, n i o -> n p o") + b[:, None]
            both = torch.cat([mapped, x[-1:]])
            log = model.unembed(model.ln_final(both)).log_softmax(-1)
            loss = (log[-1].exp() * (log[-1] - log)).sum(-1).mean(-1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return TunedLens(start.weight + M.detach().mT, start.bias + b.detach())


RIGHT = [lens_by_sgd_on_all_tokens, lens_as_a_correction]
