"""Right answers to chapter 08, written in other ways than the reference."""

from types import SimpleNamespace

import numpy as np
import torch
from einops import einsum
from transformer_lens.tools.analysis import logit_lens as theirs

from circuits_course.circuits import TunedLens, residual_states


def lens_by_transformer_lens(model, prompt):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    return theirs(model, tokens, positions=None).values[:, 0]


def lens_by_stopping_early(model, prompt):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    logits = []
    for layer in range(model.cfg.n_layers):
        resid = model(tokens, stop_at_layer=layer)
        logits.append(model.unembed(model.ln_final(resid))[0])
    return torch.stack([*logits, model(tokens)[0]]).double()


def lens_by_hooks(model, prompt):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    states = residual_states(model, tokens)[:, 0]
    return model.b_U + einsum(
        model.ln_final(states), model.W_U, "state pos d, d vocab -> state pos vocab"
    )


def ranks_by_sorting(model, prompt, token):
    order = lens_by_stopping_early(model, prompt)[:, -1].argsort(
        dim=-1, descending=True, stable=True
    )
    return [row.index(token) for row in order.tolist()]


def ranks_by_transformer_lens(model, prompt, token):
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    return theirs(model, tokens, targets=int(token)).rank_trajectory()[:, 0].int()


def settles_by_loop(logits):
    tops = logits.argmax(-1).tolist()
    for state in range(len(tops)):
        if set(tops[state:]) == {tops[-1]}:
            return state


def settles_by_products(logits):
    agrees = (logits.argmax(-1) == logits[-1].argmax()).int()
    return len(agrees) - agrees.flip(0).cumprod(0).sum()


def settles_by_numpy(logits):
    top = np.asarray(logits).argmax(-1)
    return np.flatnonzero(np.append(True, top != top[-1])).max()


def kl_by_torch(logits):
    log_q = logits.log_softmax(-1)
    kl = torch.nn.functional.kl_div(
        log_q, log_q[-1].expand_as(log_q), reduction="none", log_target=True
    )
    return kl.sum(-1)


def kl_by_distributions(logits):
    p = torch.distributions.Categorical(logits=logits[-1].double().expand_as(logits))
    return torch.distributions.kl_divergence(
        p, torch.distributions.Categorical(logits=logits.double())
    )


def kl_from_probabilities(logits):
    q = logits.double().softmax(-1)
    return (q[-1] * (q[-1] / q).log()).sum(-1)


def contributions_by_hooks(model, prompt, token, other=None):
    _, cache = model.run_with_cache(prompt)
    names = {"embed": "hook_embed"}
    for layer in range(model.cfg.n_layers):
        for kind in ("attn_out", "mlp_out"):
            if f"blocks.{layer}.hook_{kind}" in cache:
                names[f"{layer}_{kind}"] = f"blocks.{layer}.hook_{kind}"
    values = {}
    for label, name in names.items():
        write = cache[name][0, -1].double()
        if "ln_final.hook_scale" in cache:
            write = (write - write.mean()) / cache["ln_final.hook_scale"][0, -1]
        values[label] = write @ model.W_U[:, token].double()
        if other is not None:
            values[label] -= write @ model.W_U[:, other].double()
    values["bias"] = model.b_U[token] - (0 if other is None else model.b_U[other])
    return values


def contributions_by_logit_attrs(model, prompt, token, other=None):
    _, cache = model.run_with_cache(prompt)
    writes, labels = cache.decompose_resid(layer=-1, pos_slice=-1, return_labels=True)
    values = cache.logit_attrs(writes, tokens=token, incorrect_tokens=other, pos_slice=-1)
    b_U = model.b_U.tolist()
    bias = b_U[token] - b_U[other] if other is not None else b_U[token]
    return {"bias": bias, **dict(zip(labels, values[..., 0].squeeze(-1).tolist(), strict=True))}


def write_by_result(model, prompt, layer, head):
    model.cfg.use_attn_result = True
    try:
        _, cache = model.run_with_cache(prompt)
    finally:
        model.cfg.use_attn_result = False
    write = cache["result", layer][0, -1, head]
    if "ln_final.hook_scale" in cache:
        write = (write - write.mean()) / cache["ln_final.hook_scale"][0, -1]
    return (write @ model.W_U).double()


def write_by_values(model, prompt, layer, head):
    _, cache = model.run_with_cache(prompt)
    pattern, v = cache["pattern", layer][0, head, -1], cache["v", layer][0, :, head]
    write = einsum(pattern, v, model.W_O[layer, head], "k, k d_head, d_head d_model -> d_model")
    if "ln_final.hook_scale" in cache:
        write = (write - write.mean()) / cache["ln_final.hook_scale"][0, -1]
    return einsum(write, model.W_U, "d_model, d_model d_vocab -> d_vocab")


def lens_by_sgd_on_all_tokens(model, states, steps=60, batch=64, lr=1e-3, seed=0):
    """One layer after the other, nn.Linear, all places in every step."""
    weights, biases = [], []
    log_p = model.unembed(model.ln_final(states[-1:])).log_softmax(-1)[0]
    for state in states[:-1]:
        layer = torch.nn.Linear(state.shape[-1], state.shape[-1])
        with torch.no_grad():
            layer.weight.copy_(torch.eye(state.shape[-1]))
            layer.bias.zero_()
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


def lens_as_a_correction(model, states, steps=60, batch=64, lr=1e-3, seed=0):
    """x + x M + b, with M and b from zero."""
    generator = torch.Generator().manual_seed(seed + 5)
    n, d = len(states) - 1, states.shape[-1]
    M = torch.zeros(n, d, d, requires_grad=True)
    b = torch.zeros(n, d, requires_grad=True)
    optimizer = torch.optim.Adam([M, b], lr=lr)
    with torch.enable_grad():
        for _ in range(steps):
            x = states[:, torch.randperm(states.shape[1], generator=generator)[:batch]]
            mapped = x[:-1] + einsum(x[:-1], M, "n p i, n i o -> n p o") + b[:, None]
            both = torch.cat([mapped, x[-1:]])
            log = model.unembed(model.ln_final(both)).log_softmax(-1)
            loss = (log[-1].exp() * (log[-1] - log)).sum(-1).mean(-1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return TunedLens(torch.eye(d) + M.detach().mT, b.detach())


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


RIGHT = {
    "logit_lens": [lens_by_transformer_lens, lens_by_stopping_early, lens_by_hooks],
    "rank_by_layer": [ranks_by_sorting, ranks_by_transformer_lens],
    "settles_at": [settles_by_loop, settles_by_products, settles_by_numpy],
    "lens_kl": [kl_by_torch, kl_by_distributions, kl_from_probabilities],
    "contributions_by_component": [contributions_by_hooks, contributions_by_logit_attrs],
    "head_write": [write_by_result, write_by_values],
    "train_tuned_lens": [lens_by_sgd_on_all_tokens, lens_as_a_correction],
    "write_survival": [survival_by_differences, survival_state_by_state],
}
