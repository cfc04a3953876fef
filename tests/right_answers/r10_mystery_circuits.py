"""Right answers to chapter 10, written in other ways than the reference."""

import numpy as np
import torch
from einops import einsum
from torch.nn.functional import kl_div

from circuits_course.mystery import Claim, load_mystery
from circuits_course.mystery import true_claim
from circuits_course.circuits import Ablation, ablate, path_patch


def _kl(a, b):
    p, q = a.log_softmax(-1), b.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean()


def _all(model):
    return [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]


def divergence_by_torch(logits, other):
    p, q = logits.double().log_softmax(-1), other.double().log_softmax(-1)
    return kl_div(q.flatten(0, 1), p.flatten(0, 1), reduction="batchmean", log_target=True)


def divergence_in_loops(logits, other):
    values = []
    for row, other_row in zip(logits, other, strict=True):
        for x, y in zip(row, other_row, strict=True):
            p, q = x.softmax(0), y.softmax(0)
            values.append(float((p * (p.log() - q.log())).nansum()))
    return sum(values) / len(values)


def divergence_by_entropies(logits, other):
    p = logits.softmax(-1)
    cross = -(p * other.log_softmax(-1)).sum(-1)
    return (cross + (p * logits.log_softmax(-1)).sum(-1)).mean()


def targets_in_loops(tokens):
    batch, n = tokens.shape
    names = ("induction", "duplicate token", "first token", "previous token")
    masks = {name: torch.zeros(batch, n, n, dtype=torch.bool) for name in names}
    for b in range(batch):
        for q in range(n):
            for k in range(1, q + 1):
                masks["previous token"][b, q, k] = q - k == 1
                masks["first token"][b, q, k] = k == 1
                masks["duplicate token"][b, q, k] = k < q and tokens[b, k] == tokens[b, q]
                masks["induction"][b, q, k] = k > 1 and tokens[b, k - 1] == tokens[b, q]
    return masks


def targets_by_diagonals(tokens):
    n = tokens.shape[1]
    ones = torch.ones(len(tokens), n, n, dtype=torch.bool)
    seen = ones.tril()
    seen[..., 0] = False
    same = torch.eq(tokens.unsqueeze(2), tokens.unsqueeze(1))
    after = torch.zeros_like(same)
    after[..., 2:] = same[..., 1:-1]
    first = torch.zeros_like(same)
    first[..., 1] = True
    return {
        "previous token": seen & ones.triu(-1) & ones.tril(-1),
        "first token": first & seen,
        "duplicate token": same & seen.tril(-1),
        "induction": after & seen,
    }


def share_by_einsum(pattern, targets):
    on = einsum(pattern.double(), targets.double(), "b h q k, b q k -> h")
    off = einsum(pattern[..., 1:].double(), "b h q k -> h")
    return torch.where(off / pattern.sum((0, 2, 3)) < 0.02, torch.zeros_like(on), on / off)


def share_by_numpy(pattern, targets):
    shares = []
    for h in range(pattern.shape[1]):
        p = pattern[:, h].numpy()
        off = p[:, :, 1:].sum()
        on = np.where(targets.numpy(), p, 0.0).sum()
        shares.append(float(on / off) if off >= 0.02 * p.sum() else 0.0)
    return torch.tensor(shares)


def effects_one_call_each(model, tokens, mode):
    rows = []
    for layer in range(model.cfg.n_layers):
        row = [
            _kl(model(tokens), ablate(model, tokens, [(layer, head)], mode=mode))
            for head in range(model.cfg.n_heads)
        ]
        rows.append(torch.stack(row))
    return torch.stack(rows)


def effects_in_one_list(model, tokens, mode):
    ablation = Ablation(model, tokens, mode)
    clean = model(tokens).double()
    flat = [_kl(clean, ablation.logits({head: torch.ones_like(tokens).bool()}).double())
            for head in _all(model)]  # fmt: skip
    return torch.tensor(flat).view(model.cfg.n_layers, model.cfg.n_heads)


def faithfulness_by_sets(model, tokens, circuit, mode="mean"):
    ablation, everything = Ablation(model, tokens, mode), set(_all(model))
    clean = model(tokens)
    lost = _kl(clean, ablation.logits(everything - set(circuit)))
    return 1.0 - lost / _kl(clean, ablation.logits(everything))


def faithfulness_as_what_is_won(model, tokens, circuit, mode="mean"):
    clean = model(tokens)
    nothing = _kl(clean, ablate(model, tokens, _all(model), mode=mode)).item()
    outside = [head for head in _all(model) if head not in circuit]
    alone = _kl(clean, ablate(model, tokens, outside, mode=mode)).item()
    return (nothing - alone) / nothing


def incompleteness_by_sets(model, tokens, circuit, knocked_out, mode="mean"):
    ablation, everything = Ablation(model, tokens, mode), set(_all(model))
    left = set(circuit) - set(knocked_out)
    model_side, circuit_side = ablation.logits(knocked_out), ablation.logits(everything - left)
    return _kl(model_side, circuit_side) / _kl(model(tokens), ablation.logits(everything))


def incompleteness_one_call_each(model, tokens, circuit, knocked_out, mode="mean"):
    outside = [head for head in _all(model) if head not in circuit]
    runs = [
        ablate(model, tokens, heads, mode=mode)
        for heads in ([], _all(model), knocked_out, outside + list(knocked_out))
    ]
    clean, nothing, model_without, circuit_without = runs
    return (_kl(model_without, circuit_without) / _kl(clean, nothing)).item()


def importance_by_sets(model, tokens, circuit, head, mode="mean"):
    ablation, everything, circuit = Ablation(model, tokens, mode), set(_all(model)), set(circuit)
    scale = _kl(model(tokens), ablation.logits(everything))
    best = torch.tensor(0.0)
    for gone in [set(), *({other} for other in circuit - {head})]:
        kept = circuit - gone
        a, b = (ablation.logits(everything - left) for left in (kept, kept - {head}))
        best = torch.maximum(best, _kl(a, b) / scale)
    return best


def importance_with_the_head_itself_too(model, tokens, circuit, head, mode="mean"):
    """Knocking the head out of both changes nothing, so that K does no harm."""
    outside = [other for other in _all(model) if other not in circuit]
    clean, nothing = (ablate(model, tokens, gone, mode=mode) for gone in ([], _all(model)))
    values = [
        _kl(
            ablate(model, tokens, [*outside, *extra], mode=mode),
            ablate(model, tokens, [*outside, *extra, head], mode=mode),
        )
        for extra in ([], *[[other] for other in circuit])
    ]
    return float(max(values) / _kl(clean, nothing))


def edge_by_index(model, tokens, sender, receiver):
    other = tokens[torch.arange(len(tokens)) - 1]
    clean = model(tokens)
    metric = lambda new: _kl(clean, new) / _kl(clean, model(other))  # noqa: E731
    return path_patch(model, tokens, other, sender, [receiver], metric)


def edge_in_float64(model, tokens, sender, receiver):
    shifted = torch.cat([tokens[-1:], tokens[:-1]])
    clean, away = model(tokens), model(shifted)

    def metric(new):
        return _kl(clean.double(), new.double())

    moved = path_patch(model, tokens, shifted, sender, receiver, metric)
    return moved / metric(away).item()


def agate_by_mapping():
    model = load_mystery("agate").model
    prompts = load_mystery("agate").sample(12, seed=5)
    texts = ["".join(model.to_str_tokens(row[None])[1:]) for row in prompts]
    says = {text: model.to_str_tokens(text)[-2] for text in texts}
    truth = true_claim(load_mystery("agate"))
    return Claim("agate", truth.heads, truth.edges, truth.algorithm, predictions=says)


def agate_with_tuples():
    truth = true_claim(load_mystery("agate"))
    heads = {role: tuple(found) for role, found in truth.heads.items()}
    return Claim(
        mystery="agate",
        heads=heads,
        edges=tuple(truth.edges),
        algorithm=truth.algorithm,
        predictions=lambda symbols: ["?", *symbols][-2],
    )


def agate_with_lists_and_tensors():
    truth = true_claim(load_mystery("agate"))
    heads = {role: [list(head) for head in found] for role, found in truth.heads.items()}
    edges = [[torch.tensor(sender).unbind(), receiver] for sender, receiver in truth.edges]
    return Claim("agate", heads, edges, truth.algorithm, lambda symbols: symbols[len(symbols) - 2])


def targets_as_numbers(tokens):
    return {role: mask.long() for role, mask in targets_in_loops(tokens).items()}


RIGHT = {
    "divergence": [divergence_by_torch, divergence_in_loops, divergence_by_entropies],
    "targets_of": [targets_in_loops, targets_by_diagonals, targets_as_numbers],
    "share_on": [share_by_einsum, share_by_numpy],
    "single_effects": [effects_one_call_each, effects_in_one_list],
    "faithfulness": [faithfulness_by_sets, faithfulness_as_what_is_won],
    "incompleteness": [incompleteness_by_sets, incompleteness_one_call_each],
    "importance": [importance_by_sets, importance_with_the_head_itself_too],
    "edge_effect": [edge_by_index, edge_in_float64],
    "claim_agate": [agate_by_mapping, agate_with_tuples, agate_with_lists_and_tensors],
}
