"""Right answers to `head_sweep`, written in other ways than the reference."""

import numpy as np
import torch

from circuits_course.circuits import patch_sweep as fast_sweep

from .shared import head_by_result, tokens_of


def sweep_by_engine(model, clean_prompt, corrupt_prompt, metric, mode="denoising"):
    tokens = [tokens_of(model, prompt) for prompt in (clean_prompt, corrupt_prompt)]
    return fast_sweep(model, *tokens, metric, mode=mode)


def sweep_by_numpy(model, clean_prompt, corrupt_prompt, metric, mode="denoising"):
    prompts = {"denoising": (clean_prompt, corrupt_prompt)}
    prompts["noising"] = prompts["denoising"][::-1]
    out = np.empty((model.cfg.n_layers, model.cfg.n_heads), dtype=np.float32)
    for place in np.ndindex(*out.shape):
        out[place] = float(metric(head_by_result(model, *prompts[mode], *place)))
    return torch.from_numpy(out)


RIGHT = [sweep_by_engine, sweep_by_numpy]
