"""Right answers to `patch_head`, written in other ways than the reference."""

import torch
from transformer_lens import utilities as utils

from .shared import head_by_result


def head_by_concatenation(model, clean_prompt, corrupt_prompt, layer, head):
    kept = []
    name = utils.get_act_name("z", layer)
    model.run_with_hooks(clean_prompt, fwd_hooks=[(name, lambda z, hook: kept.append(z.clone()))])

    def swap(z, hook):
        parts = list(z.unbind(2))
        parts[head] = kept[0][:, :, head]
        return torch.stack(parts, dim=2)

    return model.run_with_hooks(corrupt_prompt, fwd_hooks=[(name, swap)])


RIGHT = [head_by_result, head_by_concatenation]
