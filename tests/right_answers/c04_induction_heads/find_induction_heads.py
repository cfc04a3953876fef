"""Right answers to `find_induction_heads`, written in other ways than the reference."""

from .shared import find_by_list, find_by_topk, repeated_by_global_seed, score_by_mask


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


RIGHT = [find_by_list, find_by_topk, find_by_hooks]
