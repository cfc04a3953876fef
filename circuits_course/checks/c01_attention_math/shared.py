"""What several exercises of the chapter are checked with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.checking.compare import shape_text


def triangle(scores: Tensor, diagonal: int) -> Tensor:
    return torch.ones(scores.shape[-2:]).triu(diagonal).bool()


def product_view(output: Any, left: Tensor, right: Tensor) -> Any:
    """The product and the size of the axis between its factors.

    Other factors of the same product are as good, if they are as thin.
    """
    if not isinstance(output, FactoredMatrix):
        return output
    rank = min(left.shape[-2:])
    return {"axis between the factors": max(int(output.mdim), rank), "product": output.AB}


def product_oracle(product: Tensor, rank: int) -> dict[str, Any]:
    return {"axis between the factors": rank, "product": product}


def d_model_squared(output: Any, left: Tensor, right: Tensor) -> str | None:
    d_model = max(left.shape[-2:])
    if isinstance(output, Tensor) and output.shape[-2:] == (d_model, d_model):
        return f"expected a FactoredMatrix, got the whole product, {shape_text(output)}"
    return None


def factored(output: Any, left: Tensor, right: Tensor) -> str | None:
    if isinstance(output, FactoredMatrix):
        return None
    got = f"tensor of shape {shape_text(output)}" if isinstance(output, Tensor) else type(output)
    return f"expected a FactoredMatrix, got a {getattr(got, '__name__', got)}"
