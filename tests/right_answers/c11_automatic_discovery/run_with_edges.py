"""Right answers to `run_with_edges`, written in other ways than the reference."""

import torch

from circuits_course.circuits.discovery import said_by

from .head_says import by_QK


def by_differences(model, clean, corrupted, kept):
    """The corrupted stream, plus how far each kept sender has moved from it."""
    kept, theirs = set(kept), said_by(model, corrupted)
    moved = {"embed": said_by(model, clean)["embed"] - theirs["embed"]}

    def stream(receiver):
        total = sum(theirs[sender] for sender in moved)
        for sender, step in moved.items():
            if (sender, receiver) in kept:
                total = total + step
        return total

    for layer in range(model.cfg.n_layers):
        new = {}
        for head in range(model.cfg.n_heads):
            q, k, v = (stream((layer, head, part)) for part in "qkv")
            new[layer, head] = by_QK(model, layer, head, q, k, v) - theirs[layer, head]
        moved.update(new)
    return model.unembed(stream("logits"))


def by_split_inputs(model, clean, corrupted, kept):
    """The model itself under hooks, each head's inputs replaced; one layer at a time."""
    theirs = said_by(model, corrupted)
    now = {"embed": model.embed(clean)}

    def stream(receiver):
        return sum(now[s] if (s, receiver) in kept else theirs[s] for s in now)

    split = model.cfg.use_split_qkv_input
    model.set_use_split_qkv_input(True)
    try:
        for layer in range(model.cfg.n_layers):
            hooks = []
            for part in "qkv":
                streams = [stream((layer, h, part)) for h in range(model.cfg.n_heads)]
                into = torch.stack(streams, dim=2)
                name = f"blocks.{layer}.attn.hook_{part}_input"
                hooks.append((name, lambda _, hook, into=into: into))
            with model.hooks(fwd_hooks=hooks):
                z = model.run_with_cache(clean)[1]["z", layer]
            for head in range(model.cfg.n_heads):
                now[layer, head] = z[:, :, head] @ model.W_O[layer, head]
        return stream("logits") @ model.W_U + model.b_U
    finally:
        model.set_use_split_qkv_input(split)


RIGHT = [by_differences, by_split_inputs]
