"""Right answers to chapter 04, written in other ways than the reference."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce

from circuits_course.circuits import InductionTrace


def repeated_by_global_seed(batch, period, d_vocab, bos, seed):
    torch.manual_seed(seed)
    tokens = torch.zeros(batch, 1 + 2 * period, dtype=torch.long)
    tokens[:, 0] = bos
    others = torch.tensor([token for token in range(d_vocab) if token != bos])
    tokens[:, 1 : 1 + period] = others[torch.randint(len(others), (batch, period))]
    tokens[:, 1 + period :] = tokens[:, 1 : 1 + period]
    return tokens


def repeated_by_numpy(batch, period, d_vocab, bos, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(batch):
        half = [int(x) for x in rng.integers(d_vocab, size=period)]
        rows.append([bos] + 2 * half)
    return torch.tensor(rows)


def repeated_by_tile(batch, period, d_vocab, bos, seed):
    g = torch.Generator()
    g.manual_seed(1000 + seed)
    half = torch.randint(high=d_vocab, size=(batch, period), generator=g)
    return F.pad(half.tile(1, 2), (1, 0), value=bos)


def loss_by_cross_entropy(logits, tokens):
    flat = F.cross_entropy(
        rearrange(logits[:, :-1], "b p v -> (b p) v"),
        rearrange(tokens[:, 1:], "b p -> (b p)"),
        reduction="none",
    )
    return flat.view(tokens.shape[0], -1)


def loss_by_softmax(logits, tokens):
    probs = torch.softmax(logits.double(), dim=2)
    batch, pos = tokens.shape
    rows = torch.arange(batch)[:, None]
    return -probs[rows, torch.arange(pos - 1), tokens[:, 1:]].log()


def loss_by_loop(logits, tokens):
    out = []
    for row, sequence in zip(logits, tokens, strict=True):
        logs = torch.log_softmax(row, -1)
        out.append(torch.stack([-logs[i, t] for i, t in enumerate(sequence[1:])]))
    return torch.stack(out)


def score_by_loop(pattern, period):
    total = 0.0
    for i in range(period):
        total = total + pattern[..., 1 + period + i, 2 + i]
    return total / period


def score_by_mask(pattern, period):
    pos = pattern.size(-1)
    mask = torch.zeros(pos, pos, dtype=torch.float64)
    for q in range(period + 1, pos):
        mask[q, q - period + 1] = 1
    return torch.einsum("...qk,qk->...", pattern.double(), mask) / mask.sum()


def score_by_corner(pattern, period):
    corner = pattern[..., 1 + period :, 2 : 2 + period]
    return torch.diagonal(corner, dim1=-2, dim2=-1).mean(dim=-1)


def score_by_index(pattern, period):
    q = torch.arange(period + 1, 2 * period + 1)
    return reduce(pattern[..., q, q + 1 - period], "... q -> ...", "mean")


def _patterns(model, period, batch, seed):
    tokens = repeated_by_numpy(batch, period, model.cfg.d_vocab, 0, seed)
    _, cache = model.run_with_cache(tokens)
    return cache


def find_by_list(model, period=50, batch=8, threshold=0.4, seed=0):
    cache = _patterns(model, period, batch, seed)
    rows = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            pattern = cache[f"blocks.{layer}.attn.hook_pattern"][:, head]
            rows.append((score_by_loop(pattern, period).mean().item(), layer, head))
    rows.sort()
    return [[layer, head] for score, layer, head in reversed(rows) if score >= threshold]


def find_by_topk(model, period=50, batch=8, threshold=0.4, seed=0):
    cache = _patterns(model, period, batch, seed)
    layers = [cache["pattern", i] for i in range(model.cfg.n_layers)]
    scores = score_by_corner(torch.stack(layers), period).mean(dim=1)
    order = torch.argsort(scores.flatten(), descending=True)
    heads = torch.stack([order // scores.shape[1], order % scores.shape[1]], dim=1)
    return tuple((int(i), int(j)) for i, j in heads if scores[i, j] > threshold)


def find_by_hooks(model, period=50, batch=8, threshold=0.4, seed=0):
    found = {}

    def measure(pattern, hook):
        for head in range(pattern.shape[1]):
            found[hook.layer(), head] = score_by_mask(pattern[:, head], period).mean()

    tokens = repeated_by_global_seed(batch, period, model.cfg.d_vocab, 0, seed)
    model.run_with_hooks(
        tokens, fwd_hooks=[(lambda name: name.endswith("attn.hook_pattern"), measure)]
    )
    over = [head for head in found if found[head] > threshold]
    return sorted(over, key=lambda head: -found[head])


def trace_as_dict(model, prompt):
    tokens = model.to_tokens(prompt)[0].tolist()
    earlier = max(i for i in range(len(tokens) - 1) if tokens[i] == tokens[-1])
    logits, cache = model.run_with_cache(prompt)
    heads = find_by_topk(model)
    return {
        "token": model.to_str_tokens(prompt)[-1],
        "earlier": earlier,
        "followed_by": model.to_str_tokens(prompt)[earlier + 1],
        "predicted": model.cfg.vocabulary[logits[0, -1].topk(1).indices.item()],
        "to_earlier": {(i, j): cache["pattern", i][0, j, -1, earlier] for i, j in heads},
        "to_next": {(i, j): cache["pattern", i][0, j, -1, earlier + 1] for i, j in heads},
    }


def trace_backwards(model, prompt):
    tokens = model.to_tokens(prompt)
    last = tokens.shape[1] - 1
    earlier = last - 1
    while tokens[0, earlier] != tokens[0, last]:
        earlier -= 1
    logits, cache = model.run_with_cache(tokens)
    attention = {}
    for layer, head in find_by_list(model):
        attention[layer, head] = cache["attn", layer].double()[0, head, last]
    strings = model.to_str_tokens(tokens)
    guess = model.to_single_str_token(logits.softmax(-1)[0, last].argmax().item())
    return InductionTrace(
        strings[last],
        torch.tensor(earlier),
        strings[earlier + 1],
        guess,
        {head: float(row[earlier]) for head, row in attention.items()},
        {head: float(row[earlier + 1]) for head, row in attention.items()},
    )


def copying_by_property(W_full_OV):
    values = W_full_OV.eigenvalues
    return (values.sum() / values.abs().sum()).real


def copying_by_trace(W_full_OV):
    core = (W_full_OV.B @ W_full_OV.A).double()
    return core.trace() / torch.linalg.eigvals(core).abs().sum()


def copying_by_numpy(W_full_OV):
    values = np.linalg.eigvals(W_full_OV.B.numpy() @ W_full_OV.A.numpy())
    return float(values.real.sum() / np.sqrt(values.real**2 + values.imag**2).sum())


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


def context_by_index(loss, early=50, late=500):
    return (loss[..., late] - loss[..., early]).mean().item()


def context_per_sequence(loss, early=50, late=500):
    return loss.double()[..., late - 1] - loss.double()[..., early - 1]


def context_of_means(loss, early=50, late=500):
    mean = loss.reshape(-1, loss.shape[-1]).mean(dim=0).numpy()
    return np.float64(mean[late - 1]) - np.float64(mean[early - 1])


def smear_by_cat(k, alpha):
    share = torch.sigmoid(alpha)[None, None, :, None]
    rest = share * k[:, 1:] + (1.0 - share) * k[:, :-1]
    return torch.cat((k[:, :1], rest), dim=1)


def smear_by_padding(k, alpha):
    before = torch.cat([k[:, :1], k[:, :-1]], dim=1).double()
    share = rearrange(alpha.double().sigmoid(), "head -> head 1")
    return before + share * (k.double() - before)


def smear_by_loop(k, alpha):
    result = torch.empty_like(k)
    for h, a in enumerate(alpha.tolist()):
        s = 1 / (1 + math.exp(-a))
        for j in range(k.shape[1]):
            result[:, j, h] = k[:, j, h] if j == 0 else s * k[:, j, h] + (1 - s) * k[:, j - 1, h]
    return result


RIGHT = {
    "repeated_tokens": [repeated_by_global_seed, repeated_by_numpy, repeated_by_tile],
    "loss_per_token": [loss_by_cross_entropy, loss_by_softmax, loss_by_loop],
    "induction_score": [score_by_loop, score_by_mask, score_by_corner, score_by_index],
    "find_induction_heads": [find_by_list, find_by_topk, find_by_hooks],
    "trace_induction": [trace_as_dict, trace_backwards],
    "copying_score": [copying_by_property, copying_by_trace, copying_by_numpy],
    "ablate_heads": [ablate_by_default_argument, ablate_by_position_means, ablate_by_clean_means],
    "in_context_learning_score": [context_by_index, context_per_sequence, context_of_means],
    "smear_keys": [smear_by_cat, smear_by_padding, smear_by_loop],
}
