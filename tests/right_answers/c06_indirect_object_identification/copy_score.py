"""Right answers to `copy_score`, written in other ways than the reference."""

import numpy as np
import torch

from circuits_course.data import bos_token


def copies_by_loop(model, head, names, sign=1):
    layer, index = head
    hits = 0
    for name in names.tolist():
        prompt = torch.tensor([[bos_token(model), name]])
        _, cache = model.run_with_cache(prompt)
        group = index // (model.W_O.shape[1] // model.W_V.shape[1])
        written = cache["resid_pre", 1][0, -1] @ model.W_V[layer][group] @ model.W_O[layer][index]
        order = (sign * (written @ model.W_U)).argsort(descending=True)
        hits += name in order[:5].tolist()
    return hits / len(names)


def copies_by_repeating_values(model, head, names, sign=1):
    layer, index = head
    prompts = torch.cat([torch.zeros_like(names)[:, None] + bos_token(model), names[:, None]], 1)
    _, cache = model.run_with_cache(prompts)
    W_V = model.W_V.repeat_interleave(model.W_O.shape[1] // model.W_V.shape[1], dim=1)
    OV = W_V[layer, index] @ model.W_O[layer, index]
    logits = sign * (cache["resid_post", 0][:, -1] @ OV @ model.W_U)
    own = logits.gather(1, names[:, None])
    return np.mean(((logits > own).sum(1) < 5).numpy())


RIGHT = [copies_by_loop, copies_by_repeating_values]
