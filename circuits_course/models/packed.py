"""Linear layers in the layout that the processor multiplies fastest, for the time of a sweep.

torch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors only. oneDNN,
the other library that comes with torch, uses it everywhere, on weights that it has packed before:
on an AMD processor that has AVX-512, SmolLM2's layers then run more than twice as fast. Packing all
of them takes a quarter of a second, so it pays where a model is run many times over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Linear = Callable[[Float[Tensor, "*run d_in"]], Float[Tensor, "*run d_out"]]


@contextmanager
def packed() -> Iterator[None]:
    """Within it, linear layers multiply packed weights, where that is faster.

    A layer is packed when it is first run, and its weights must not be changed inside. Elsewhere
    (another processor, CUDA, a course model, gradients) everything stays as it is. Results differ
    in the last bits only.
    """
    if not packing_pays():
        yield
        return
    with _Packing():
        yield


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
        self.known: dict[int, tuple[Tensor, Linear]] = {}  # with the weight, so that its id stays

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is functional.linear and not torch.is_grad_enabled():
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not (isinstance(weight, nn.Parameter) and _fits(weight)):
            return functional.linear(x, weight, bias)
        if id(weight) not in self.known:
            self.known[id(weight)] = weight, packed_linear(weight, bias)
        return self.known[id(weight)][1](x)


def _fits(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32
