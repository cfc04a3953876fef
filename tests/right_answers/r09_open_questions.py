"""Right answers to chapter 09, written in other ways than the reference."""

import statistics

import numpy as np
import torch
from einops import einsum, rearrange


def error_by_statistics(values):
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


def error_by_numpy(values):
    array = np.array(values)
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size))


def masks_by_loops(tokens):
    batch, pos = tokens.shape
    names = ["induction", "duplicate token", "previous token"]  # in any order
    masks = {name: torch.zeros(batch, pos, pos) for name in names}
    for b in range(batch):
        for q in range(pos):
            for k in range(1, q + 1):
                if k + 1 == q:
                    masks["previous token"][b, q, k] = 1
                if k < q and tokens[b, k] == tokens[b, q]:
                    masks["duplicate token"][b, q, k] = 1
                if tokens[b, k - 1] == tokens[b, q]:
                    masks["induction"][b, q, k] = 1
    return masks


def masks_by_tril(tokens):
    pos = tokens.shape[1]
    not_bos = torch.arange(pos) > 0
    previous = torch.diag(torch.ones(pos - 1, dtype=torch.bool), -1) & not_bos
    same = tokens.unsqueeze(2).eq(tokens.unsqueeze(1))
    before = torch.nn.functional.pad(tokens, (1, 0), value=-1)[:, :-1]
    return {
        "previous token": previous,  # the same for every sequence
        "duplicate token": same.tril(-1) & not_bos,
        "induction": tokens.unsqueeze(2).eq(before.unsqueeze(1)).tril() & not_bos,
    }


def profile_by_loops(model, tokens):
    _, cache = model.run_with_cache(tokens)
    profile = {}
    for name, mask in masks_by_loops(tokens).items():
        mask = mask.bool()
        if not mask.any():
            continue
        scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, dtype=torch.float64)
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                found = [
                    cache["pattern", layer][b, head, q][mask[b, q]].sum()
                    for b, q in mask.any(-1).nonzero()
                ]
                scores[layer, head] = torch.stack(found).mean()
        profile[name] = scores
    return profile


def profile_by_einsum(model, tokens):
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("pattern"))
    layers = range(model.cfg.n_layers)
    patterns = torch.stack([cache["pattern", layer] for layer in layers])
    return {
        name: einsum(patterns, mask.expand(len(tokens), -1, -1).float(), "l b h q k, b q k -> l h")
        / mask.expand(len(tokens), -1, -1).any(-1).sum()
        for name, mask in masks_by_tril(tokens).items()
        if mask.any()
    }


def compare_by_loops(profiles):
    answer = {}
    for behaviour in {name for profile in profiles.values() for name in profile}:
        answer[behaviour] = {}
        for model, profile in profiles.items():
            if behaviour not in profile:
                continue
            per_layer = profile[behaviour].max(dim=1).values
            layer = int(per_layer.argmax())
            last = len(per_layer) - 1
            answer[behaviour][model] = (layer / last if last else 0.0, float(per_layer[layer]))
    return answer


def compare_by_unravel(profiles):
    answer = {}
    for model, profile in profiles.items():
        for behaviour, scores in profile.items():
            layer, head = np.unravel_index(scores.numpy().argmax(), scores.shape)
            depth = np.linspace(0, 1, len(scores))[layer]
            answer.setdefault(behaviour, {})[model] = [depth, scores[layer, head]]
    return answer


def mean_hook(heads):
    def hook_function(z, hook):
        z = z.clone()
        for head in heads:
            z[..., head, :] = rearrange(z[..., head, :], "b p d -> (b p) d").mean(0)
        return z

    return hook_function


def jobs_by_log_probs(model, head, texts):
    def loss(tokens, hooks):
        log_probs = model.run_with_hooks(tokens, fwd_hooks=hooks).double().log_softmax(-1)
        said = log_probs[:, :-1].gather(2, tokens[:, 1:].unsqueeze(-1))
        return -said.mean()

    name = f"blocks.{head[0]}.attn.hook_z"
    return {
        context: {
            "cost": loss(tokens, [(name, mean_hook([head[1]]))]) - loss(tokens, []),
            **{n: s[head] for n, s in profile_by_einsum(model, tokens).items()},
        }
        for context, tokens in texts.items()
    }


def jobs_by_permanent_hooks(model, head, texts):
    jobs = {}
    for context, tokens in texts.items():
        profile = profile_by_loops(model, tokens)
        jobs[context] = {name: float(scores[head[0], head[1]]) for name, scores in profile.items()}
        before = model(tokens, return_type="loss")
        model.add_hook(f"blocks.{head[0]}.attn.hook_z", mean_hook([head[1]]))
        jobs[context]["cost"] = model(tokens, return_type="loss").item() - before.item()
        model.reset_hooks()
    return jobs


def costs_by_lists(model, tokens, loss):
    before = loss(model, tokens)
    rows = []
    for layer in range(model.cfg.n_layers):
        row = []
        for head in range(model.cfg.n_heads):
            model.add_hook(f"blocks.{layer}.attn.hook_z", mean_hook([head]))
            row.append(loss(model, tokens) - before)
            model.reset_hooks()
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)


def costs_with_given_mean(model, tokens, loss):
    _, cache = model.run_with_cache(tokens)
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    costs = torch.zeros(len(loss(model, tokens)), n_layers, n_heads, dtype=torch.float64)
    for layer in range(n_layers):
        means = cache["z", layer].flatten(0, 1).mean(0)
        for head in range(n_heads):

            def hook_function(z, hook, head=head, means=means):
                chosen = torch.arange(n_heads) == head
                return torch.where(chosen[:, None], means, z)

            with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", hook_function)]):
                costs[:, layer, head] = (loss(model, tokens) - loss(model, tokens) * 0).double()
    return costs - loss(model, tokens)[:, None, None]


def number_by_loop(costs):
    answer = []
    for column in costs.unbind(1):
        harm = [float(c) for c in column if c > 0]
        answer.append(sum(harm) ** 2 / sum(h**2 for h in harm) if harm else 0.0)
    return torch.tensor(answer)


def number_by_shares(costs):
    harm = costs.double().clip(min=0)
    shares = harm / harm.sum(0).clip(min=1e-12)
    return torch.nan_to_num(1 / (shares**2).sum(0), posinf=0.0)


def similarity_by_torch(pattern):
    total, count = 0.0, 0
    for row in pattern:
        for i in range(len(row)):
            for j in range(i + 1, len(row)):
                total += torch.cosine_similarity(row[i].flatten(), row[j].flatten(), dim=0)
                count += 1
    return total / count


def similarity_by_einsum(pattern):
    unit = torch.nn.functional.normalize(pattern.double().flatten(2), dim=2)
    table = einsum(unit, unit, "b i d, b j d -> b i j")
    n = pattern.shape[1]
    return (table.sum((1, 2)) - n).mean() / (n * (n - 1))


def removable_by_sets(model, tokens, loss, allowed):
    before = loss(model, tokens).mean().item()
    costs = costs_by_lists(model, tokens, loss).mean(0)
    ranked = sorted(
        (float(costs[at, head]), at, head)
        for at in range(len(costs))
        for head in range(costs.shape[1])
    )
    kept = []
    for _, layer, head in ranked:
        trial = [*kept, (layer, head)]
        for at in {where for where, _ in trial}:
            hook = mean_hook([h for where, h in trial if where == at])
            model.add_hook(f"blocks.{at}.attn.hook_z", hook)
        after = loss(model, tokens).mean().item()
        model.reset_hooks()
        if after > before + allowed:
            return kept
        kept = trial
    return kept


def removable_as_lists(model, tokens, loss, allowed):
    return [list(head) for head in reversed(removable_by_sets(model, tokens, loss, allowed))]


RIGHT = {
    "behaviour_masks": [masks_by_loops, masks_by_tril],
    "head_profile": [profile_by_loops, profile_by_einsum],
    "mean_and_error": [error_by_statistics, error_by_numpy],
    "compare_profiles": [compare_by_loops, compare_by_unravel],
    "head_jobs": [jobs_by_log_probs, jobs_by_permanent_hooks],
    "ablation_costs": [costs_by_lists, costs_with_given_mean],
    "effective_number": [number_by_loop, number_by_shares],
    "head_similarity": [similarity_by_torch, similarity_by_einsum],
    "removable_heads": [removable_by_sets, removable_as_lists],
}
