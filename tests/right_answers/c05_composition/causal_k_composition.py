"""Right answers to `causal_k_composition`, written in other ways than the reference."""

from circuits_course.circuits import CutPath


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


RIGHT = [cut_at_the_input, cut_at_the_scores]
