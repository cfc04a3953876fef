"""Right answers to `removable_heads`, written in other ways than the reference."""

from .shared import costs_by_lists, mean_hook


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


RIGHT = [removable_by_sets, removable_as_lists]
