"""What a patching experiment measures, and where two prompts begin to differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.errors import CourseError

Tokens = Int[Tensor, "batch pos"]
Metric = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LogitDifference:
    """Mean logit of the right token minus that of the wrong one, in logits.

    right, wrong: one token per prompt. position: where it is read, one for all prompts or one
    each; -1 is the last. Called with logits [batch, pos, d_vocab]; a sweep reads only the two
    columns.
    """

    right: Int[Tensor, " batch"]
    wrong: Int[Tensor, " batch"]
    position: int | Int[Tensor, " batch"] = -1

    def __call__(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, ""]:
        rows = torch.arange(len(logits), device=logits.device)
        read = logits[rows, self.positions(logits.shape[1]).to(logits.device)]
        return self.of_columns(read.gather(-1, self.columns.to(logits.device)))

    @property
    def columns(self) -> Int[Tensor, "batch 2"]:
        """The tokens whose logits are read."""
        return torch.stack([self.right, self.wrong], dim=-1)

    def positions(self, n_pos: int) -> Int[Tensor, " batch"]:
        """The position that is read in each prompt, counted from the start."""
        position = torch.as_tensor(self.position).expand(len(self.right))
        return torch.where(position < 0, position + n_pos, position)

    def of_columns(self, values: Float[Tensor, "*run batch 2"]) -> Float[Tensor, "*run"]:
        """The metric from the logits of its columns."""
        return (values[..., 0] - values[..., 1]).mean(-1)


def first_difference(a: Tokens, b: Tokens) -> int:
    """The first position at which any two prompts differ; their length where none does."""
    differs = (a != b).any(dim=0)
    return int(differs.float().argmax()) if differs.any() else a.shape[1]


def require_same_shape(clean: Tokens, corrupted: Tokens) -> None:
    """Raises CourseError unless the prompts correspond token by token."""
    if clean.shape != corrupted.shape or clean.ndim != 2:
        raise CourseError(
            "Clean and corrupted tokens need the same shape [batch, pos]; got "
            f"{list(clean.shape)} and {list(corrupted.shape)}."
        )
