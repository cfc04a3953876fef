"""Right answers to chapter 07, written in other ways than the reference."""

import numpy as np
import torch
from einops import einsum, reduce
from transformer_lens import utilities as utils

from circuits_course.circuits import Ablation, LogitDifference
from circuits_course.circuits import patch_sweep as fast_sweep
from circuits_course.circuits import path_patch as fast_path_patch


def metric_by_gather(logits, clean, corrupted, right=None, wrong=None):
    if right is None:
        right = clean[:, -1].topk(1).indices[:, 0]
    if wrong is None:
        wrong = corrupted[:, -1].topk(1).indices[:, 0]
    pair = torch.stack([right, wrong], -1)
    means = []
    for run in (corrupted, clean, logits):
        a, b = run[:, -1].gather(-1, pair).double().unbind(-1)
        means.append(float((a - b).mean()))
    return (means[2] - means[0]) / (means[1] - means[0])


def metric_by_log_probabilities(logits, clean, corrupted, right=None, wrong=None):
    right = clean[:, -1].argmax(-1) if right is None else right
    wrong = corrupted[:, -1].argmax(-1) if wrong is None else wrong
    metric = LogitDifference(wrong, right)  # the sign cancels, as does the normaliser
    low, high = metric(corrupted.log_softmax(-1)), metric(clean.log_softmax(-1))
    return (metric(logits.log_softmax(-1)) - low) / (high - low)


def metric_by_loops(logits, clean, corrupted, *answers, right=None, wrong=None):
    right, wrong = answers or (right, wrong)
    sums = np.zeros(3)
    for i in range(len(logits)):
        r = int(clean[i, -1].argmax()) if right is None else int(right[i])
        w = int(corrupted[i, -1].argmax()) if wrong is None else int(wrong[i])
        for j, run in enumerate((logits, clean, corrupted)):
            sums[j] += float(run[i, -1, r]) - float(run[i, -1, w])
    return np.float64((sums[0] - sums[2]) / (sums[1] - sums[2]))


def residual_by_continuing(model, clean_prompt, corrupt_prompt, layer, position):
    """From the patched residual stream on, without the layers below."""
    clean, corrupted = (
        model.run_with_cache(prompt)[1]["resid_pre", layer]
        for prompt in (clean_prompt, corrupt_prompt)
    )
    corrupted = corrupted.clone()
    corrupted[:, position] = clean[:, position]
    return model(corrupted, start_at_layer=layer)


def residual_by_where(model, clean_prompt, corrupt_prompt, layer, position):
    name = f"blocks.{layer}.hook_resid_pre"
    with torch.no_grad():
        clean = model.run_with_cache(clean_prompt)[1][name]

        def swap(value, hook):
            here = torch.arange(value.shape[1])[None, :, None] == position
            return torch.where(here, clean, value)

        with model.hooks(fwd_hooks=[(name, swap)]):
            return model(corrupt_prompt)


def positions_by_list(model, clean_prompt, corrupt_prompt, metric):
    n_pos = model.run_with_cache(clean_prompt)[1]["resid_pre", 0].shape[1]
    rows = []
    for layer in range(model.cfg.n_layers):
        row = []
        for position in range(n_pos):
            logits = residual_by_continuing(model, clean_prompt, corrupt_prompt, layer, position)
            row.append(metric(logits).item())
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def tokens_of(model, prompt):
    return model.to_tokens(prompt) if isinstance(prompt, str) else prompt


def positions_by_engine(model, clean_prompt, corrupt_prompt, metric):
    tokens = [tokens_of(model, prompt) for prompt in (clean_prompt, corrupt_prompt)]
    return fast_sweep(model, *tokens, metric, ("layer", "position"), component="resid_pre")


def head_by_result(model, clean_prompt, corrupt_prompt, layer, head):
    """Through what the head adds to the residual stream."""
    clean, corrupted = (
        model.run_with_cache(prompt)[1]["z", layer][:, :, head]
        for prompt in (clean_prompt, corrupt_prompt)
    )
    change = einsum(
        clean - corrupted,
        model.W_O[layer, head],
        "batch pos d_head, d_head d_model -> batch pos d_model",
    )
    name = utils.get_act_name("attn_out", layer)
    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, lambda x, hook: x + change)])


def head_by_concatenation(model, clean_prompt, corrupt_prompt, layer, head):
    kept = []
    name = utils.get_act_name("z", layer)
    model.run_with_hooks(clean_prompt, fwd_hooks=[(name, lambda z, hook: kept.append(z.clone()))])

    def swap(z, hook):
        parts = list(z.unbind(2))
        parts[head] = kept[0][:, :, head]
        return torch.stack(parts, dim=2)

    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, swap)])


def sweep_by_engine(model, clean_prompt, corrupt_prompt, metric, mode="denoising"):
    tokens = [tokens_of(model, prompt) for prompt in (clean_prompt, corrupt_prompt)]
    return fast_sweep(model, *tokens, metric, mode=mode)


def sweep_by_numpy(model, clean_prompt, corrupt_prompt, metric, mode="denoising"):
    prompts = {"denoising": (clean_prompt, corrupt_prompt)}
    prompts["noising"] = prompts["denoising"][::-1]
    out = np.empty((model.cfg.n_layers, model.cfg.n_heads), dtype=np.float32)
    for place in np.ndindex(*out.shape):
        out[place] = float(metric(head_by_result(model, *prompts[mode], *place)))
    return torch.from_numpy(out)


def path_by_engine(model, clean_prompt, corrupt_prompt, sender, receiver):
    seen = []

    def metric(logits):
        seen.append(logits)
        return logits.sum()

    tokens = [tokens_of(model, prompt) for prompt in (clean_prompt, corrupt_prompt)]
    fast_path_patch(model, *tokens, sender, receiver, metric)
    return seen[-1]


def path_with_hooks_by_layer(model, clean_prompt, corrupt_prompt, sender, receiver):
    layers = range(model.cfg.n_layers)
    _, clean = model.run_with_cache(clean_prompt)
    _, corrupted = model.run_with_cache(corrupt_prompt)
    hooks = []
    for layer in layers:
        z = clean["z", layer].clone()
        if layer == sender[0]:
            z[:, :, sender[1]] = corrupted["z", layer][:, :, sender[1]]
        hooks.append((f"blocks.{layer}.attn.hook_z", lambda _, hook, z=z: z))
    where, head, kind = receiver
    name = f"blocks.{where}.attn.hook_{kind}"
    with model.hooks(fwd_hooks=hooks):
        heard = model.run_with_cache(clean_prompt)[1][name][:, :, head]

    def say(x, hook):
        x = x.clone()
        x[:, :, head] = heard
        return x

    return model.run_with_hooks(clean_prompt, fwd_hooks=[(name, say)])


def attribution_by_backward(model, clean_prompt, corrupt_prompt, metric):
    _, clean = model.run_with_cache(clean_prompt)
    values, slopes = {}, {}

    def forward(z, hook):
        z = z if z.requires_grad else z.requires_grad_()
        values[hook.name] = z.detach().clone()
        z.register_hook(lambda gradient: slopes.__setitem__(hook.name, gradient))
        return z

    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.cfg.n_layers)]
    with torch.enable_grad():
        logits = model.run_with_hooks(corrupt_prompt, fwd_hooks=[(n, forward) for n in names])
        metric(logits).backward()
    return torch.stack([
        einsum(clean[n] - values[n], slopes[n], "b p h d, b p h d -> h") for n in names
    ])  # fmt: skip


def attribution_by_leaves(model, clean_prompt, corrupt_prompt, metric):
    names = [utils.get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
    _, clean = model.run_with_cache(clean_prompt)
    _, corrupted = model.run_with_cache(corrupt_prompt)
    share = {name: torch.zeros(model.cfg.n_heads, requires_grad=True) for name in names}

    def move(z, hook):
        step = clean[hook.name] - corrupted[hook.name]
        return z + share[hook.name][None, None, :, None] * step

    with torch.enable_grad():
        logits = model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, move) for name in names])
        return torch.stack(torch.autograd.grad(metric(logits), list(share.values())))


def ablate_by_engine(model, prompt, reference, heads):
    return Ablation(model, prompt if not isinstance(prompt, str) else model.to_tokens(prompt),
                    "mean", reference=reference).logits(heads)  # fmt: skip


def ablate_with_a_hook_each(model, prompt, reference, heads):
    _, cache = model.run_with_cache(reference)

    def hook_for(layer, head):
        mean = reduce(cache["z", layer], "prompt pos head d_head -> pos head d_head", "mean")

        def put(z, hook):
            z[..., head, :] = mean[:, head]
            return z

        return f"blocks.{layer}.attn.hook_z", put

    return model.run_with_hooks(prompt, fwd_hooks=[hook_for(*head) for head in heads])


RIGHT = {
    "patching_metric": [metric_by_gather, metric_by_log_probabilities, metric_by_loops],
    "patch_residual": [residual_by_continuing, residual_by_where],
    "position_sweep": [positions_by_list, positions_by_engine],
    "patch_head": [head_by_result, head_by_concatenation],
    "head_sweep": [sweep_by_engine, sweep_by_numpy],
    "path_patch": [path_by_engine, path_with_hooks_by_layer],
    "attribution_patch": [attribution_by_backward, attribution_by_leaves],
    "mean_ablate": [ablate_by_engine, ablate_with_a_hook_each],
}
