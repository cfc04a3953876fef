"""When two numbers count as equal."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """Largest difference that still counts as equal: atol + rtol * |expected|."""

    atol: float = 1e-5
    rtol: float = 1e-4


TOLERANCE = Tolerance()
NOTHING = 1e-3  # of the expected result: below, no scale is worth a word


# --- small tools ------------------------------------------------------------------------------
def isclose(a: Tensor, b: Tensor, tolerance: Tolerance, equal_nan: bool = True) -> Tensor:
    a, b = a.detach().cpu(), b.detach().cpu()
    if not (a.is_floating_point() or b.is_floating_point()):
        return a == b
    return torch.isclose(
        b.double(), a.double(), rtol=tolerance.rtol, atol=tolerance.atol, equal_nan=equal_nan
    )


def close(a: Tensor, b: Tensor, tolerance: Tolerance, equal_nan: bool = True) -> bool:
    return bool(isclose(a, b, tolerance, equal_nan).all())
