"""Right answers to chapter 05, written in other ways than the reference."""

from collections import namedtuple

import numpy as np
import torch
from transformer_lens import FactoredMatrix
from transformer_lens import utilities as utils

from circuits_course.circuits import HeadWeights
from circuits_course.circuits import CutPath, HeadCircuits


def score_by_transformer_lens(kind, source, target):
    right = {"Q": target.QK, "K": target.QK.T, "V": target.OV}[kind]
    return utils.composition_scores(source.OV, right)


def score_by_traces(kind, source, target):
    def squared(*factors):
        product = factors[0].double()
        for factor in factors[1:]:
            product = product @ factor.double()
        return torch.trace(product.mT @ product)

    if kind == "V":
        read = target.W_V, target.W_O
    else:
        read = (target.W_Q, target.W_K.T) if kind == "Q" else (target.W_K, target.W_Q.T)
    write = source.W_V, source.W_O
    return (squared(*write, *read) / squared(*write) / squared(*read)) ** 0.5


def score_in_the_papers_order(kind, source, target):
    written = source.OV.AB.T
    read = target.OV.AB.T if kind == "V" else target.QK.AB.T if kind == "Q" else target.QK.AB
    norm = torch.linalg.matrix_norm
    return float(norm(read @ written) / (norm(read) * norm(written)))


def baseline_in_one_batch(d_model, d_head, n, seed):
    g = torch.Generator().manual_seed(seed)
    a, b, c, d = (torch.randn(n, d_model, d_head, generator=g) for _ in range(4))
    left, right = FactoredMatrix(a, b.mT), FactoredMatrix(c, d.mT)
    return (left @ right).norm() / left.norm() / right.norm()


def baseline_by_numpy(d_model, d_head, n, seed):
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(n):
        ov = rng.normal(size=(d_model, d_head)) @ rng.normal(size=(d_head, d_model))
        qk = rng.normal(size=(d_model, d_head)) @ rng.normal(size=(d_head, d_model))
        norms = np.linalg.norm(ov) * np.linalg.norm(qk)
        scores.append(np.linalg.norm(ov @ qk.T) / norms)
    return torch.tensor(scores)


def baseline_of_small_weights(d_model, d_head, n, seed):
    torch.manual_seed(seed)
    shapes = [(d_model, d_head)] * 3 + [(d_head, d_model)]
    heads = [HeadCircuits(*(0.02 * torch.randn(s) for s in shapes)) for _ in range(2 * n)]
    return torch.stack(
        [score_by_transformer_lens("K", heads[2 * i], heads[2 * i + 1]) for i in range(n)]
    )


def pattern_by_einsum(pattern_a, pattern_b):
    return torch.einsum("...qm,...mk->...qk", pattern_b, pattern_a)


def pattern_by_loop(pattern_a, pattern_b):
    out = torch.zeros(pattern_a.shape, dtype=torch.float64)
    for q in range(out.shape[-2]):
        for k in range(out.shape[-1]):
            out[..., q, k] = (pattern_b[..., q, :] * pattern_a[..., :, k]).sum(-1)
    return out


def virtual_by_factors(head_a, head_b):
    return FactoredMatrix(head_a.W_V @ (head_a.W_O @ head_b.W_V), head_b.W_O)


def virtual_by_full_product(head_a, head_b):
    return FactoredMatrix(head_a.W_V @ head_a.W_O, head_b.OV.AB)


def two_back_by_sums(basis):
    n_ctx, d_vocab = basis.n_ctx, basis.d_vocab
    W_Q, W_K = torch.zeros(2, basis.d_model, n_ctx)
    for place in range(1, n_ctx):
        W_Q[:, place] = 60 * basis.position[place]
        W_K[:, place] = basis.position[place - 1]
    first = [torch.zeros(basis.d_model, d_vocab), torch.zeros(d_vocab, basis.d_model)]
    second = [torch.zeros(basis.d_model, d_vocab), torch.zeros(d_vocab, basis.d_model)]
    for symbol in range(d_vocab):
        first[0][:, symbol], first[1][symbol] = basis.token[symbol], basis.previous[symbol]
        second[0][:, symbol], second[1][symbol] = basis.previous[symbol], 5 * basis.out[symbol]
    return HeadWeights(W_Q, W_K, *first), HeadWeights(W_Q, W_K, *second)


def two_back_with_other_signs(basis):
    W_Q = 50.0 * basis.position.T
    W_K = basis.position.T.roll(1, dims=1)
    head = namedtuple("head", "W_Q W_K W_V W_O")
    return [
        head(W_Q, W_K, -basis.token.T, basis.previous),
        head(W_Q, W_K, basis.previous.T, -8.0 * basis.out),
    ]


def two_back_through_out_of_another_size(basis):
    """The symbol travels along the `out` directions, read back before it grows large."""
    W_Q = 50.0 * basis.position.T
    W_K = basis.position.T.roll(1, dims=1)
    first = HeadWeights(W_Q, W_K, basis.token.T, 0.1 * basis.out)
    return first, HeadWeights(W_Q, W_K, basis.out.T, 100.0 * basis.out)


def paths_by_hand(model, tokens):
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    n_heads, x = model.cfg.n_heads, cache["embed"]
    ov = [[model.W_V[l, h] @ model.W_O[l, h] for h in range(n_heads)] for l in range(2)]  # noqa: E741
    a = [cache["pattern", 0][:, h] for h in range(n_heads)]
    b = [cache["pattern", 1][:, h] for h in range(n_heads)]
    paths = {}
    for j in range(n_heads):
        for i in range(n_heads):
            virtual = (b[j] @ a[i]) @ x @ ov[0][i] @ ov[1][j]
            paths[((0, i), (1, j))] = virtual @ model.W_U
        paths[((1, j),)] = b[j] @ x @ ov[1][j] @ model.W_U
        paths[((0, j),)] = a[j] @ x @ ov[0][j] @ model.W_U
    paths[()] = x @ model.W_U
    return paths


def paths_by_einsum_in_double(model, tokens):
    _, cache = model.run_with_cache(tokens)
    streams = [((), cache["embed"].double())]
    for layer in (0, 1):
        pattern = cache["pattern", layer].double()
        v = torch.stack([x for _, x in streams])
        z = torch.einsum("bhqk,sbkm,hmd->sbqhd", pattern, v, model.W_V[layer].double())
        out = torch.einsum("sbqhd,hdm->shbqm", z, model.W_O[layer].double())
        streams += [
            ((*path, (layer, head)), out[s, head])
            for s, (path, _) in enumerate(streams)
            for head in range(model.cfg.n_heads)
        ]
    return {path: x @ model.W_U.double() for path, x in streams}


def importance_by_rebuilding(paths, tokens):
    def loss(kept):
        logits = torch.stack(kept).sum(0)[:, :-1]
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:])

    whole = loss(list(paths.values()))
    return {
        name: loss([value for other, value in paths.items() if other != name]) - whole
        for name in paths
    }


def importance_by_probabilities(paths, tokens):
    total = sum(value.double() for value in paths.values())

    def loss(logits):
        probs = logits.softmax(-1)
        terms = [
            -probs[row, pos, tokens[row, pos + 1]].log()
            for row in range(tokens.shape[0])
            for pos in range(tokens.shape[1] - 1)
        ]
        return (sum(terms) / len(terms)).item()

    before = loss(total)
    out = {}
    for name, value in paths.items():
        out[name] = loss(total - value) - before
    return out


def keys_by_differences(model, tokens, layer, head):
    """Scores of the plain run and of runs with one source at a time kept from the keys' input."""
    _, cache = model.run_with_cache(tokens)
    q, W_K = cache["q", layer][:, :, head], model.W_K[layer, head]

    def part(x):
        return torch.einsum("bqd,bkd->bqk", q, x @ W_K) / model.cfg.attn_scale

    parts = [part(model.W_E[tokens] + model.W_pos[: tokens.shape[1]][None])]
    for below in range(layer):
        z, W_O = cache["z", below], model.W_O[below]
        results = torch.einsum("bphd,hdm->hbpm", z, W_O)
        parts += [part(write) for write in results]
    future = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
    return torch.stack(parts).masked_fill(future, -torch.inf)


def keys_in_double(model, tokens, layer, head):
    _, cache = model.run_with_cache(tokens)
    x = cache["embed"] + cache["hook_qk_pos"]
    writes = [x] + [
        cache[f"blocks.{below}.attn.hook_z"][..., h, :] @ model.blocks[below].attn.W_O[h]
        for below in range(layer)
        for h in range(model.cfg.n_heads)
    ]
    q = cache[f"blocks.{layer}.attn.hook_q"][..., head, :].double()
    out = [q @ (w @ model.W_K[layer][head]).double().transpose(1, 2) for w in writes]
    return torch.stack(out) / np.sqrt(model.cfg.d_head)


def visible_by_nan(scores):
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    hidden = scores.masked_fill(future, torch.nan)
    return (hidden - hidden.nanmean(-1, keepdim=True)).nan_to_num(0.0)


def visible_by_loop(scores):
    out = torch.zeros(scores.shape, dtype=torch.float64)
    for q in range(scores.shape[-2]):
        row = scores[..., q, : q + 1].double()
        out[..., q, : q + 1] = row - row.sum(-1, keepdim=True) / (q + 1)
    return out


def cut_at_the_input(model, tokens, source, target):
    (low, i), (high, j) = source, target
    before = model.cfg.use_split_qkv_input, model.cfg.use_attn_result
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    try:
        _, clean = model.run_with_cache(tokens)
        write = clean["result", low][:, :, i]

        def cut(x, hook):
            x = x.clone()
            x[:, :, j] = x[:, :, j] - write
            return x

        kept = {}

        def keep(pattern, hook):
            kept["pattern"] = pattern[:, j].clone()

        name = f"blocks.{high}.attn.hook_"
        hooks = [(name + "k_input", cut), (name + "pattern", keep)]
        logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    finally:
        model.set_use_split_qkv_input(before[0])
        model.set_use_attn_result(before[1])
    return kept["pattern"], logits


def cut_at_the_scores(model, tokens, source, target):
    (low, i), (high, j) = source, target
    _, clean = model.run_with_cache(tokens)
    write = clean["z", low][:, :, i] @ model.blocks[low].attn.W_O[i]
    key = write @ model.blocks[high].attn.W_K[j]
    share = clean["q", high][:, :, j] @ key.mT / model.cfg.d_head**0.5
    pattern = (clean["attn_scores", high][:, j] - share).softmax(-1)

    def swap(value, hook):
        value = value.clone()
        value[:, j] = pattern
        return value

    hooks = [(f"blocks.{high}.attn.hook_pattern", swap)]
    return CutPath(pattern=pattern, logits=model.run_with_hooks(tokens, fwd_hooks=hooks))


RIGHT = {
    "composition_score": [score_by_transformer_lens, score_by_traces, score_in_the_papers_order],
    "random_composition_baseline": [
        baseline_in_one_batch,
        baseline_by_numpy,
        baseline_of_small_weights,
    ],
    "virtual_pattern": [pattern_by_einsum, pattern_by_loop],
    "virtual_ov": [virtual_by_factors, virtual_by_full_product],
    "two_back": [two_back_by_sums, two_back_with_other_signs, two_back_through_out_of_another_size],
    "path_expansion": [paths_by_hand, paths_by_einsum_in_double],
    "path_importance": [importance_by_rebuilding, importance_by_probabilities],
    "decompose_keys": [keys_by_differences, keys_in_double],
    "visible_scores": [visible_by_nan, visible_by_loop],
    "causal_k_composition": [cut_at_the_input, cut_at_the_scores],
}
