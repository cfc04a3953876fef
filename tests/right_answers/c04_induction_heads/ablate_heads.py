"""Right answers to `ablate_heads`, written in other ways than the reference."""


def ablate_by_default_argument(model, tokens, heads, mode):
    hooks = []
    for layer, head in heads:

        def hook(z, hook, head=head):
            out = z.clone()
            if mode == "zero":
                out[..., head, :] = 0
            else:
                out[..., head, :] = out[..., head, :].mean(dim=(0, 1), keepdim=True)
            return out

        hooks.append((f"blocks.{layer}.attn.hook_z", hook))
    return model.run_with_hooks(tokens, return_type="logits", fwd_hooks=hooks)


def ablate_by_position_means(model, tokens, heads, mode):
    def edit(z, hook):
        chosen = [head for layer, head in heads if layer == hook.layer()]
        z[:, :, chosen] = z[:, :, chosen].mean(0, keepdim=True) * (mode == "mean")
        return z

    filter_z = lambda name: name.endswith("hook_z")  # noqa: E731
    return model.run_with_hooks(tokens, fwd_hooks=[(filter_z, edit)])


def ablate_by_clean_means(model, tokens, heads, mode):
    _, cache = model.run_with_cache(tokens)
    with model.hooks(
        fwd_hooks=[(f"blocks.{layer}.attn.hook_z", _putter(cache, *pair, mode))
                   for pair in heads for layer in pair[:1]]
    ):  # fmt: skip
        return model(tokens)


def _putter(cache, layer, head, mode):
    value = cache["z", layer][:, :, head].flatten(0, 1).mean(0) if mode == "mean" else 0.0

    def put(z, hook):
        z[:, :, head, :] = value
        return z

    return put


RIGHT = [ablate_by_default_argument, ablate_by_position_means, ablate_by_clean_means]
