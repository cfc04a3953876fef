"""Right answers to `repetition_scores`, written in other ways than the reference."""

import torch


def repetition_by_loop(model, batch, query, key):
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for sign, tokens in ((1, batch.tokens), (-1, batch.corrupt("ABC"))):
        _, cache = model.run_with_cache(tokens)
        for layer in range(model.cfg.n_layers):
            for i, (q, k) in enumerate(
                zip(batch.positions[query], batch.positions[key], strict=True)
            ):
                scores[layer] += sign * cache["pattern", layer][i, :, q, k] / len(tokens)
    return scores


def repetition_in_one_run(model, batch, query, key):
    both = torch.cat([batch.tokens, batch.corrupt()])
    rows = torch.arange(len(both))
    q, k = (batch.positions[name].repeat(2) for name in (query, key))
    found = {}

    def keep(pattern, hook):
        looks = pattern[rows, :, q, k].double()
        prompts, control = looks.chunk(2)
        found[hook.layer()] = (prompts - control).mean(0)

    model.run_with_hooks(both, fwd_hooks=[(lambda name: name.endswith("hook_pattern"), keep)])
    return torch.stack([found[layer] for layer in range(model.cfg.n_layers)])


RIGHT = [repetition_by_loop, repetition_in_one_run]
