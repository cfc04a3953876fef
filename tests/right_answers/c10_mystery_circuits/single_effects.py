"""Right answers to `single_effects`, written in other ways than the reference."""

import torch

from circuits_course.circuits import Ablation, ablate

from .shared import _all, _kl


def effects_one_call_each(model, tokens, mode):
    rows = []
    for layer in range(model.cfg.n_layers):
        row = [
            _kl(model(tokens), ablate(model, tokens, [(layer, head)], mode=mode))
            for head in range(model.cfg.n_heads)
        ]
        rows.append(torch.stack(row))
    return torch.stack(rows)


def effects_in_one_list(model, tokens, mode):
    ablation = Ablation(model, tokens, mode)
    clean = model(tokens).double()
    flat = [_kl(clean, ablation.logits({head: torch.ones_like(tokens).bool()}).double())
            for head in _all(model)]  # fmt: skip
    return torch.tensor(flat).view(model.cfg.n_layers, model.cfg.n_heads)


RIGHT = [effects_one_call_each, effects_in_one_list]
