"""Right answers to `knock_out`, written in other ways than the reference."""

import torch
from einops import einsum

from circuits_course.circuits import ablate


def knocked_by_the_package(model, batch, heads):
    reference, groups = batch.abc_reference()
    logits = ablate(
        model, batch.tokens, heads, mode="mean",
        reference=reference, groups=batch.groups, reference_groups=groups,
    )  # fmt: skip
    rows, end = torch.arange(len(batch)), batch.positions["END"]
    return logits[rows, end, batch.io] - logits[rows, end, batch.s]


def knocked_in_place(model, batch, heads):
    tokens, groups = batch.abc_reference()
    _, cache = model.run_with_cache(tokens)
    member = (batch.groups[:, None] == groups[None]).float()
    member = member / member.sum(1, keepdim=True)

    def hook_of(layer, head):
        def edit(z, hook):
            mean = einsum(member, cache["z", layer][:, :, head], "b r, r p d -> b p d")
            z[:, :, head] = mean
            return z

        return f"blocks.{layer}.attn.hook_z", edit

    with model.hooks(fwd_hooks=[hook_of(*head) for head in heads]):
        logits = model(batch.tokens)
    end = batch.positions["END"]
    return torch.stack([
        logits[i, end[i], batch.io[i]] - logits[i, end[i], batch.s[i]] for i in range(len(batch))
    ])  # fmt: skip


RIGHT = [knocked_by_the_package, knocked_in_place]
