"""Right answers to `position_sweep`, written in other ways than the reference."""

import torch

from circuits_course.circuits import patch_sweep as fast_sweep

from .shared import residual_by_continuing, tokens_of


def positions_by_list(model, clean_prompt, corrupt_prompt, metric):
    n_pos = model.run_with_cache(clean_prompt)[1]["resid_pre", 0].shape[1]
    rows = []
    for layer in range(model.cfg.n_layers):
        row = []
        for position in range(n_pos):
            logits = residual_by_continuing(model, clean_prompt, corrupt_prompt, layer, position)
            row.append(metric(logits).item())
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def positions_by_engine(model, clean_prompt, corrupt_prompt, metric):
    tokens = [tokens_of(model, prompt) for prompt in (clean_prompt, corrupt_prompt)]
    return fast_sweep(model, *tokens, metric, ("layer", "position"), component="resid_pre")


RIGHT = [positions_by_list, positions_by_engine]
