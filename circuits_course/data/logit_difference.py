"""What a prompt with a right and a wrong answer is scored by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


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

    def of_columns(self, values: Float[Tensor, "*run batch 2"]) -> Tensor:
        """The metric from the logits of its columns: [*run]."""
        return self.of_prompts(values[..., 0] - values[..., 1])

    def of_prompts(self, differences: Float[Tensor, "*run batch"]) -> Tensor:
        """The metric from the logit difference of every prompt: their mean, [*run]."""
        return differences.mean(-1)

    def each(self) -> EachDifference:
        """The same, one number for each prompt."""
        return EachDifference(self.right, self.wrong, self.position)


class EachDifference(LogitDifference):
    """`LogitDifference` prompt by prompt: what a sweep over it returns has one more axis, [batch].

    Take `metric.each()`. An interval needs it: prompts are what was drawn.
    """

    def of_prompts(self, differences: Float[Tensor, "*run batch"]) -> Tensor:
        return differences
