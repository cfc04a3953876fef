"""Right answers to `find_induction_heads`, written in other ways than the reference."""

from .shared import find_by_list, find_by_topk, repeated_by_global_seed, score_by_mask


def find_by_hooks(model, periods=(50, 40, 30), batch=8, threshold=0.35, seed=0):
    found = {}
    for period in periods:
        period = min(period, (model.cfg.n_ctx - 1) // 2)

        def measure(pattern, hook, period=period):
            for head in range(pattern.shape[1]):
                score = score_by_mask(pattern[:, head], period).mean()
                found.setdefault((hook.layer(), head), []).append(score)

        tokens = repeated_by_global_seed(batch, period, model.cfg.d_vocab, 0, seed)
        model.run_with_hooks(
            tokens, fwd_hooks=[(lambda name: name.endswith("attn.hook_pattern"), measure)]
        )
    over = [head for head in found if all(score > threshold for score in found[head])]
    return sorted(over, key=lambda head: -min(found[head]))


RIGHT = [find_by_list, find_by_topk, find_by_hooks]
