"""Right answers to `cut_path`, written in other ways than the reference."""

from circuits_course.circuits import CutPath


def cut_at_the_input(model, tokens, source, target, kind):
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
        hooks = [(name + f"{kind.lower()}_input", cut), (name + "pattern", keep)]
        logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    finally:
        model.set_use_split_qkv_input(before[0])
        model.set_use_attn_result(before[1])
    return kept["pattern"], logits


def cut_by_three_hooks(model, tokens, source, target, kind):
    """One hook for each of queries, keys and values; two of them take nothing away."""
    (low, i), (high, j) = source, target
    _, clean = model.run_with_cache(tokens)
    write = clean["z", low][:, :, i].double() @ model.blocks[low].attn.W_O[i].double()
    attn = model.blocks[high].attn
    kept = []

    def hook_for(letter):
        share = (write @ getattr(attn, f"W_{letter}")[j].double()).float() * (letter == kind)

        def take(x, hook):
            x = x.clone()
            x[:, :, j] = x[:, :, j] - share
            return x

        return f"blocks.{high}.attn.hook_{letter.lower()}", take

    keep = (f"blocks.{high}.attn.hook_pattern", lambda p, hook: kept.append(p[:, j].clone()))
    logits = model.run_with_hooks(tokens, fwd_hooks=[*map(hook_for, "QKV"), keep])
    return CutPath(pattern=kept[0], logits=logits)


RIGHT = [cut_at_the_input, cut_by_three_hooks]
