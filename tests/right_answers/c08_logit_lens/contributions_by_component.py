"""Right answers to `contributions_by_component`, written in other ways than the reference."""


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


RIGHT = [contributions_by_hooks, contributions_by_logit_attrs]
