"""What several right answers of the chapter use."""

import torch


def previous_by_loop(model, tokens):
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    _, cache = model.run_with_cache(tokens)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            pattern = cache[f"blocks.{layer}.attn.hook_pattern"][:, head]
            cells = [pattern[:, q, q - 1] for q in range(2, tokens.shape[1])]
            scores[layer, head] = torch.stack(cells).mean()
    return scores


def previous_by_hook(model, tokens):
    rows = {}

    def keep(pattern, hook):
        subdiagonal = pattern[:, :, 2:, 1:-1].diagonal(dim1=2, dim2=3)
        rows[hook.layer()] = subdiagonal.double().mean((0, 2))

    model.run_with_hooks(tokens, fwd_hooks=[(lambda name: name.endswith("hook_pattern"), keep)])
    return torch.stack([rows[layer] for layer in sorted(rows)])


def kinds_by_loop(tokens):
    masks = {kind: [] for kind in ("first copy", "second copy", "ordinary text")}
    for row in tokens.tolist():
        body = row[1:]
        half = len(body) // 2
        doubled = len(body) % 2 == 0 and body[:half] == body[half:]
        masks["first copy"].append([doubled and t < half for t in range(len(body))])
        masks["second copy"].append([doubled and t > half for t in range(len(body))])
        masks["ordinary text"].append([not doubled for _ in body])
    return {kind: torch.tensor(mask) for kind, mask in masks.items()}


def kinds_by_slices(tokens):
    batch, pos = tokens.shape
    body, n = tokens[:, 1:], (pos - 1) // 2
    first = torch.zeros(batch, pos - 1, dtype=torch.bool)
    second, text = first.clone(), first.clone()
    for b in range(batch):
        if pos % 2 and torch.equal(body[b, :n], body[b, n:]):
            first[b, :n] = True
            second[b, n + 1 :] = True
        else:
            text[b] = True
    return {"ordinary text": text, "second copy": second, "first copy": first}


def losses_by_one_hook_a_layer(model, tokens, heads, mode="mean"):
    def hook_for(layer):
        def hook(z, hook):
            z = z.clone()
            for head in [h for la, h in heads if la == layer]:
                z[..., head, :] = 0 if mode == "zero" else z[..., head, :].flatten(0, 1).mean(0)
            return z

        return hook

    layers = {layer for layer, _ in heads}
    hooks = [(f"blocks.{layer}.attn.hook_z", hook_for(layer)) for layer in layers]
    log_probs = model.run_with_hooks(tokens, fwd_hooks=hooks).log_softmax(-1)
    return -log_probs[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)
