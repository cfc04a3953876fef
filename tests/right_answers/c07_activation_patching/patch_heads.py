"""Right answers to `patch_heads`, written in other ways than the reference."""

import torch
from einops import einsum
from transformer_lens import utilities as utils

from circuits_course.circuits.patching.stages import stages_of

from .shared import tokens_of


def heads_by_what_they_write(model, clean_prompt, corrupt_prompt, heads):
    """Through what the heads add to the residual stream, one hook for each; the base run's own z
    of higher layers reacts, so the addition is made where the layer writes."""
    _, clean = model.run_with_cache(clean_prompt)
    live, hooks = {}, []
    for layer, head in heads:

        def keep(z, hook):
            live[hook.name] = z.clone()
            return z

        def add(attn_out, hook, layer=layer, head=head):
            name = utils.get_act_name("z", layer)
            step = clean[name][:, :, head] - live[name][:, :, head]
            W_O = model.W_O[layer, head]
            return attn_out + einsum(
                step, W_O, "batch pos d_head, d_head d_model -> batch pos d_model"
            )

        hooks += [
            (utils.get_act_name("z", layer), keep),
            (utils.get_act_name("attn_out", layer), add),
        ]
    return model.run_with_hooks(corrupt_prompt, fwd_hooks=hooks)


def heads_by_concatenation(model, clean_prompt, corrupt_prompt, heads):
    kept = {}

    def keep(z, hook):
        kept[hook.name] = z.clone()

    def swap(z, hook):
        parts = list(z.unbind(2))
        for layer, head in heads:
            if hook.name == f"blocks.{layer}.attn.hook_z":
                parts[head] = kept[hook.name][:, :, head]
        return torch.stack(parts, dim=2)

    model.run_with_hooks(clean_prompt, fwd_hooks=[(lambda name: name.endswith("hook_z"), keep)])
    return model.run_with_hooks(
        corrupt_prompt, fwd_hooks=[(lambda name: name.endswith("hook_z"), swap)]
    )


def heads_by_stages(model, clean_prompt, corrupt_prompt, heads):
    """Without hooks, by the package's engine."""
    clean, corrupted = (tokens_of(model, prompt) for prompt in (clean_prompt, corrupt_prompt))
    stages = stages_of(model, corrupted)
    new = stages.run(clean, keep=("z",)).z

    def edit(name, layer, value):
        for head in [h for where, h in heads if name == "z" and where == layer]:
            value = value.clone()
            value[..., head, :] = new[layer][..., head, :]
        return value

    return stages.logits(stages.run(corrupted, edit, keep=()).resid_final)


RIGHT = [heads_by_what_they_write, heads_by_concatenation, heads_by_stages]
