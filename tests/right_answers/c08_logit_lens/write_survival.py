"""Right answers to `write_survival`, written in other ways than the reference."""

import torch
from einops import einsum

from circuits_course.circuits import residual_states


def survival_by_differences(model, prompt, other, layer):
    name = f"blocks.{layer}.hook_attn_out"
    _, other_cache = model.run_with_cache(other)
    plain = residual_states(model, prompt)[:, 0, -1].double()

    def replace(value, hook):
        return torch.cat([value[:, :-1], other_cache[name][:, -1:]], dim=1)

    with model.hooks(fwd_hooks=[(name, replace)]):
        changed = residual_states(model, prompt)[:, 0, -1].double()
    _, cache = model.run_with_cache(prompt)
    w = (cache[name] - other_cache[name])[0, -1].double()
    return einsum(plain - changed, w, "state d, d -> state") / w.pow(2).sum()


def survival_state_by_state(model, prompt, other, layer):
    name = f"blocks.{layer}.hook_attn_out"
    caches = [model.run_with_cache(tokens)[1] for tokens in (prompt, other)]
    w = caches[0][name][0, -1] - caches[1][name][0, -1]

    def subtract(value, hook):
        value[0, -1] -= w
        return value

    model.add_hook(name, subtract)
    try:
        _, changed = model.run_with_cache(prompt)
    finally:
        model.reset_hooks()
    shares = []
    for state in range(model.cfg.n_layers):
        change = (caches[0]["resid_pre", state] - changed["resid_pre", state])[0, -1]
        shares.append(float(change @ w) / float(w @ w))
    last = model.cfg.n_layers - 1
    change = (caches[0]["resid_post", last] - changed["resid_post", last])[0, -1]
    return torch.tensor([*shares, float(change @ w) / float(w @ w)])


RIGHT = [survival_by_differences, survival_state_by_state]
