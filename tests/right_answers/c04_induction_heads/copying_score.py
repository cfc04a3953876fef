"""Right answers to `copying_score`, written in other ways than the reference."""

import numpy as np
import torch


def copying_by_property(W_full_OV):
    values = W_full_OV.eigenvalues
    return (values.sum() / values.abs().sum()).real


def copying_by_trace(W_full_OV):
    core = (W_full_OV.B @ W_full_OV.A).double()
    return core.trace() / torch.linalg.eigvals(core).abs().sum()


def copying_by_numpy(W_full_OV):
    values = np.linalg.eigvals(W_full_OV.B.numpy() @ W_full_OV.A.numpy())
    return float(values.real.sum() / np.sqrt(values.real**2 + values.imag**2).sum())


RIGHT = [copying_by_property, copying_by_trace, copying_by_numpy]
