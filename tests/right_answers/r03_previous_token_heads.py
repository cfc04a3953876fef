"""Right answers to chapter 03, written in other ways than the reference."""

import random
from collections import Counter

import numpy as np
import torch


def sink_by_loop(pattern):
    scores = torch.zeros(pattern.shape[:-2])
    n = pattern.shape[-2]
    for q in range(1, n):
        scores += pattern[..., q, 0]
    return scores / (n - 1)


def sink_in_double(pattern):
    column = pattern.double().select(-1, 0)
    return (column.sum(-1) - column[..., 0]) / (column.shape[-1] - 1)


def diagonals_by_loop(pattern, max_offset):
    *heads, n, _ = pattern.shape
    scores = pattern.new_empty(*heads, max_offset + 1)
    for o in range(max_offset + 1):
        scores[..., o] = sum(pattern[..., q, q - o] for q in range(o, n)) / (n - o)
    return scores


def diagonals_by_mask(pattern, max_offset):
    n = pattern.shape[-1]
    distance = torch.arange(n)[:, None] - torch.arange(n)
    masks = torch.stack([distance == o for o in range(max_offset + 1)]).double()
    return torch.einsum("...qk,oqk->...o", pattern.double(), masks) / masks.sum((1, 2))


def diagonals_by_numpy(pattern, max_offset):
    array = pattern.numpy()
    scores = [np.diagonal(array, -o, axis1=-2, axis2=-1).mean(-1) for o in range(max_offset + 1)]
    return torch.from_numpy(np.stack(scores, axis=-1))


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


def find_by_loop(model, tokens, threshold=0.5):
    scores = previous_by_loop(model, tokens)
    over = []
    for layer in range(scores.shape[0]):
        for head in range(scores.shape[1]):
            if scores[layer, head] > threshold:
                over.append((scores[layer, head], layer, head))
    over.sort(key=lambda item: item[0], reverse=True)
    return [(layer, head) for _, layer, head in over]


def find_by_sort(model, tokens, threshold=0.5):
    values, places = previous_by_hook(model, tokens).flatten().sort(descending=True)
    count = int((values > threshold).sum())
    return [divmod(place.item(), model.cfg.n_heads) for place in places[:count]]


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


def losses_in_every_layer(model, tokens, heads, mode="mean"):
    def hook(z, hook):
        chosen = torch.tensor([(hook.layer(), h) in set(heads) for h in range(z.shape[2])])
        flat = z.double().mean(dim=(0, 1), keepdim=True).float()
        return torch.where(chosen[:, None], flat if mode == "mean" else torch.zeros_like(flat), z)

    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, hook) for name in names]):
        return model(tokens, return_type="loss", loss_per_token=True)


def effect_by_sums(model, tokens, heads, mode="mean"):
    change = losses_by_one_hook_a_layer(model, tokens, heads, mode=mode)
    change = change - model(tokens, return_type="loss", loss_per_token=True)
    effect = {}
    for kind, mask in kinds_by_loop(tokens).items():
        if mask.sum() > 0:
            effect[kind] = (change * mask).sum() / mask.sum()
    return effect


def effect_by_two_means(model, tokens, heads, mode="mean"):
    after = losses_by_one_hook_a_layer(model, tokens, heads, mode).double()
    before = losses_by_one_hook_a_layer(model, tokens, []).double()
    kinds = {kind: mask for kind, mask in kinds_by_slices(tokens).items() if bool(mask.any())}
    return {k: float(after[mask].mean()) - float(before[mask].mean()) for k, mask in kinds.items()}


def controls_by_sampling(heads, n_heads, seed):
    rng = random.Random(seed)
    drawn = []
    for layer, count in Counter(layer for layer, _ in heads).items():
        others = [h for h in range(n_heads) if (layer, h) not in set(heads)]
        drawn += [(layer, h) for h in rng.sample(others, count)]
    return drawn


def controls_by_rejection(heads, n_heads, seed):
    rng = np.random.default_rng(seed)
    controls = []
    for layer, _ in heads:
        pair = layer, int(rng.integers(n_heads))
        while pair in heads or pair in controls:
            pair = layer, int(rng.integers(n_heads))
        controls.append(pair)
    return tuple(controls)


def bigrams_by_unembed(model, token, k):
    logits = model.unembed(model.embed(torch.tensor([[token]])))[0, 0]
    return logits.argsort(descending=True)[:k]


def bigrams_by_table(model, token, k):
    table = torch.einsum("vm,mw->vw", model.W_E.double(), model.W_U.double())
    return [int(t) for t in torch.topk(table[token], k)[1]]


def table_by_hand_in_double(model, heads):
    W_OV = torch.eye(model.cfg.d_model, dtype=torch.float64)
    for layer, head in heads:
        W_OV += (model.W_V[layer, head] @ model.W_O[layer, head]).double()
    return model.W_E.double() @ W_OV @ model.W_U.double()


def table_by_factored(model, heads):
    direct = torch.einsum("vm,mw->vw", model.W_E, model.W_U)
    return direct + sum((model.W_E @ model.OV[la, h] @ model.W_U).AB for la, h in heads)


RIGHT = {
    "sink_share": [sink_by_loop, sink_in_double],
    "diagonal_scores": [diagonals_by_loop, diagonals_by_mask, diagonals_by_numpy],
    "previous_token_scores": [previous_by_loop, previous_by_hook],
    "find_previous_token_heads": [find_by_loop, find_by_sort],
    "token_kinds": [kinds_by_loop, kinds_by_slices],
    "knock_out_losses": [losses_by_one_hook_a_layer, losses_in_every_layer],
    "knock_out_effect": [effect_by_sums, effect_by_two_means],
    "control_heads": [controls_by_sampling, controls_by_rejection],
    "direct_path_bigrams": [bigrams_by_unembed, bigrams_by_table],
    "bigram_table": [table_by_hand_in_double, table_by_factored],
}
