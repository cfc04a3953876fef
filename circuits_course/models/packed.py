"""Linear layers in the layout that the processor multiplies fastest, for the time of a sweep.

torch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors only. oneDNN,
the other library that comes with torch, uses it everywhere, on weights that it has packed before:
on an AMD processor that has AVX-512, SmolLM2's layers then run more than twice as fast. Packing all
of them takes a quarter of a second, so it pays where a model is run many times over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

FEWEST_ROWS = 64  # packing takes as long as multiplying about so many

Linear = Callable[[Float[Tensor, "*run d_in"]], Float[Tensor, "*run d_out"]]


def packed() -> AbstractContextManager[Any]:
    """Within it, linear layers multiply packed weights, where that is faster.

    A layer is packed when it first meets many rows at once, and again after its weights were
    changed in place; a change through `weight.data` leaves no mark and must not happen inside. What
    was packed is kept while the object lives, which can be entered again. Elsewhere (another
    processor, CUDA, a course model, gradients) everything stays as it is. Results differ in the
    last bits only.
    """
    return _Packing() if packing_pays() else nullcontext()


def packed_linear(weight: Float[Tensor, "d_out d_in"], bias: Tensor | None = None) -> Linear:
    """x -> x @ weight.T + bias, on a packed copy of weight where that is faster; no gradients."""
    if not (packing_pays() and _fits(weight)):
        return lambda x: functional.linear(x, weight, bias)
    layout = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
    bias = None if bias is None else bias.detach()
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, layout, bias, "none", [], "")


@cache
def packing_pays() -> bool:
    """Whether this processor and this torch have what it takes; found by trying it once."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    x, weight = torch.ones(2, 16), torch.eye(16)
    try:
        layout = torch.ops.mkldnn._reorder_linear_weight(weight)
        said = torch.ops.mkldnn._linear_pointwise(x, layout, None, "none", [], "")
    except (AttributeError, RuntimeError):  # an inner name of torch, which may go
        return False
    return torch.equal(said, x)


class _Packing(TorchFunctionMode):
    """Answers for `torch.nn.functional.linear`, which all linear layers call."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, _Known] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is functional.linear and not torch.is_grad_enabled():
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        known = self.known.get(id(weight))
        if known is None or known.version != weight._version:
            few = x.numel() < FEWEST_ROWS * x.shape[-1]
            if few or not (isinstance(weight, nn.Parameter) and _fits(weight)):
                return functional.linear(x, weight, bias)
            known = _Known(weight, weight._version, packed_linear(weight, bias))
            self.known[id(weight)] = known
        return known.linear(x)


class _Known(NamedTuple):
    weight: Tensor  # kept, so that no other gets its id
    version: int
    linear: Linear


def _fits(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32
