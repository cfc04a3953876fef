"""Right answers to `s_inhibition_effect`, written in other ways than the reference."""

import torch

from circuits_course.circuits import path_patch


def inhibition_one_by_one(model, batch, movers):
    receivers = [(layer, head, "q") for layer, head in movers]
    plain = batch.metric(model(batch.tokens)).item()
    last = max(layer for layer, _ in movers)
    effect = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(last):
        for head in range(model.cfg.n_heads):
            effect[layer, head] = path_patch(
                model, batch.tokens, batch.corrupt(), (layer, head), receivers, batch.metric,
                position=batch.positions["END"],
            ) - plain  # fmt: skip
    return effect


def inhibition_from_per_prompt_metric(model, batch, movers):
    from circuits_course.circuits import path_patch_sweep

    rows, end = torch.arange(len(batch)), batch.positions["END"]

    def metric(logits):
        at_end = logits[rows, end]
        return (at_end[rows, batch.io] - at_end[rows, batch.s]).mean()

    plain = metric(model(batch.tokens))
    receivers = tuple((layer, head, "q") for layer, head in movers)
    return path_patch_sweep(
        model, batch.tokens, batch.corrupt("ABC"), receivers, metric, position=end
    ) - plain  # fmt: skip


RIGHT = [inhibition_one_by_one, inhibition_from_per_prompt_metric]
