"""Right answers to `faithfulness`, written in other ways than the reference."""

import torch

from .shared import faithful_by_lists


def faithful_by_abs_tensor(F, model_heads, circuit):
    return torch.tensor(F(model_heads) - F(circuit)).abs()


RIGHT = [faithful_by_abs_tensor, faithful_by_lists]
