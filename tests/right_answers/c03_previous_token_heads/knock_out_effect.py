"""Right answers to `knock_out_effect`, written in other ways than the reference."""

from .shared import kinds_by_loop, kinds_by_slices, losses_by_one_hook_a_layer


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


RIGHT = [effect_by_sums, effect_by_two_means]
