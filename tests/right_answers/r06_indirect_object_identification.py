"""Right answers to chapter 06, written in other ways than the reference."""

import numpy as np
import torch
from einops import einsum

from circuits_course.data import bos_token
from circuits_course.circuits import ablate, path_patch


def difference_by_loop(logits, io, s):
    return torch.tensor(
        [float(row[-1, i] - row[-1, j]) for row, i, j in zip(logits, io, s, strict=True)]
    )


def difference_by_gather(logits, io, s):
    names = torch.stack([io, s], dim=1)
    found = logits[:, -1].double().gather(1, names)
    return found[:, 0] - found[:, 1]


def difference_of_log_probs(logits, io, s):
    log_probs = logits[:, -1].log_softmax(dim=-1)
    return log_probs.gather(-1, io[:, None]).squeeze(-1) - log_probs.gather(-1, s[:, None])[:, 0]


def layers_by_transformer_lens(cache, direction):
    written = cache.decompose_resid(layer=-1, mode="all", incl_embeds=False, pos_slice=-1)
    embedding = cache["resid_pre", 0][None, :, -1]
    written = torch.cat([embedding, written])
    scaled = cache.apply_ln_to_stack(written, layer=-1, pos_slice=-1)
    return einsum(scaled, direction, "component batch d, batch d -> component batch")


def layers_by_loop(cache, direction):
    rows = []
    read = direction.double() / cache["scale"][:, -1].double()
    names = ["blocks.0.hook_resid_pre"]
    for layer in range(cache.model.cfg.n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    for name in names:
        rows.append([float(x @ d) for x, d in zip(cache[name][:, -1].double(), read, strict=True)])
    return torch.tensor(rows, dtype=torch.float64)


def layers_centred(cache, direction):
    """Takes the mean away too, which the directions make unnecessary."""
    parts = [cache["resid_pre", 0]]
    for layer in range(cache.model.cfg.n_layers):
        parts.extend((cache["attn_out", layer], cache["mlp_out", layer]))
    parts = torch.stack([part[:, -1] - part[:, -1].mean(-1, keepdim=True) for part in parts])
    return (parts * direction).sum(-1) / cache["ln_final.hook_scale"][:, -1, 0]


def heads_by_loop(cache, direction):
    model, rows = cache.model, []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            written = cache["z", layer][:, -1, head] @ model.W_O[layer, head]
            rows.append((written / cache["scale"][:, -1] * direction).sum(-1))
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads, -1)


def heads_by_broadcasting(cache, direction):
    W_O = cache.model.W_O.double()
    z = torch.stack([cache["z", i] for i in range(W_O.shape[0])])[:, :, -1].double()
    written = (z[..., None, :] @ W_O[:, None])[..., 0, :]  # layer batch head d_model
    read = (direction / cache["scale"][:, -1])[:, None].double()
    return (written * read).sum(-1).permute(0, 2, 1)


def _by_loop(model, batch, query, key):
    _, cache = model.run_with_cache(batch.tokens)
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for i in range(len(batch)):
            q, k = batch.positions[query][i], batch.positions[key][i]
            scores[layer] += cache["pattern", layer][i, :, q, k] / len(batch)
    return scores


def _by_hooks(model, batch, query, key):
    scores = {}
    one_hot = torch.nn.functional.one_hot
    q, k = (one_hot(batch.positions[x], batch.tokens.shape[1]).float() for x in (query, key))

    def keep(pattern, hook):
        scores[hook.layer()] = einsum(pattern, q, k, "b h q k, b q, b k -> b h").mean(0)

    model.run_with_hooks(batch.tokens, fwd_hooks=[(lambda n: n.endswith("hook_pattern"), keep)])
    return torch.stack([scores[layer] for layer in sorted(scores)])


def movers_by_loop(model, batch):
    return _by_loop(model, batch, "END", "IO")


def movers_by_hooks(model, batch):
    return _by_hooks(model, batch, "END", "IO").double()


def duplicates_by_loop(model, batch):
    return _by_loop(model, batch, "S2", "S1")


def duplicates_by_hooks(model, batch):
    return _by_hooks(model, batch=batch, query="S2", key="S1")


def copies_by_loop(model, head, names, sign=1):
    layer, index = head
    hits = 0
    for name in names.tolist():
        prompt = torch.tensor([[bos_token(model), name]])
        _, cache = model.run_with_cache(prompt)
        group = index // (model.W_O.shape[1] // model.W_V.shape[1])
        written = cache["resid_pre", 1][0, -1] @ model.W_V[layer][group] @ model.W_O[layer][index]
        order = (sign * (written @ model.W_U)).argsort(descending=True)
        hits += name in order[:5].tolist()
    return hits / len(names)


def copies_by_repeating_values(model, head, names, sign=1):
    layer, index = head
    prompts = torch.cat([torch.zeros_like(names)[:, None] + bos_token(model), names[:, None]], 1)
    _, cache = model.run_with_cache(prompts)
    W_V = model.W_V.repeat_interleave(model.W_O.shape[1] // model.W_V.shape[1], dim=1)
    OV = W_V[layer, index] @ model.W_O[layer, index]
    logits = sign * (cache["resid_post", 0][:, -1] @ OV @ model.W_U)
    own = logits.gather(1, names[:, None])
    return np.mean(((logits > own).sum(1) < 5).numpy())


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


def knocked_by_the_package(model, batch, heads):
    reference, groups = batch.abc_reference()
    logits = ablate(
        model, batch.tokens, heads, mode="mean",
        reference=reference, groups=batch.groups, reference_groups=groups,
    )  # fmt: skip
    rows, end = torch.arange(len(batch)), batch.positions["END"]
    return logits[rows, end, batch.io] - logits[rows, end, batch.s]


def knocked_in_place(model, batch, heads):
    tokens, groups = batch.abc_reference()
    _, cache = model.run_with_cache(tokens)
    member = (batch.groups[:, None] == groups[None]).float()
    member = member / member.sum(1, keepdim=True)

    def hook_of(layer, head):
        def edit(z, hook):
            mean = einsum(member, cache["z", layer][:, :, head], "b r, r p d -> b p d")
            z[:, :, head] = mean
            return z

        return f"blocks.{layer}.attn.hook_z", edit

    with model.hooks(fwd_hooks=[hook_of(*head) for head in heads]):
        logits = model(batch.tokens)
    end = batch.positions["END"]
    return torch.stack([
        logits[i, end[i], batch.io[i]] - logits[i, end[i], batch.s[i]] for i in range(len(batch))
    ])  # fmt: skip


def faithful_by_abs_tensor(F, model_heads, circuit):
    return torch.tensor(F(model_heads) - F(circuit)).abs()


def faithful_by_lists(F, model_heads, circuit):
    scores = [F(sorted(heads)) for heads in (model_heads, circuit)]
    return max(scores) - min(scores)


def complete_by_comprehension(F, model_heads, circuit, removed):
    def left(heads):
        return [head for head in heads if head not in removed]

    return np.abs(F(left(circuit)) - F(left(model_heads)))


def complete_by_faithfulness(F, model_heads, circuit, removed):
    return faithful_by_lists(F, model_heads - removed, circuit - removed)


def minimal_by_sets(F, circuit, head, removed=()):
    return abs(F(set(circuit) - set(removed)) - F(set(circuit) - set(removed) - {head}))


def minimal_by_union(F, circuit, head, removed=None):
    gone = set(removed or ())
    with_head, without = F(circuit - gone), F(circuit - (gone | {head}))
    return max(with_head, without) - min(with_head, without)


RIGHT = {
    "logit_difference": [difference_by_loop, difference_by_gather, difference_of_log_probs],
    "attribute_layers": [layers_by_transformer_lens, layers_by_loop, layers_centred],
    "attribute_heads": [heads_by_loop, heads_by_broadcasting],
    "name_mover_scores": [movers_by_loop, movers_by_hooks],
    "copy_score": [copies_by_loop, copies_by_repeating_values],
    "duplicate_token_scores": [duplicates_by_loop, duplicates_by_hooks],
    "s_inhibition_effect": [inhibition_one_by_one, inhibition_from_per_prompt_metric],
    "knock_out": [knocked_by_the_package, knocked_in_place],
    "faithfulness": [faithful_by_abs_tensor, faithful_by_lists],
    "completeness": [complete_by_comprehension, complete_by_faithfulness],
    "minimality": [minimal_by_sets, minimal_by_union],
}
