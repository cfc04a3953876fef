"""What a patching experiment measures, and where two prompts begin to differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError

Tokens = Int[Tensor, "batch pos"]

Metric = Callable[[Tensor], Tensor]


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


def real_lengths(model: Any, tokens: Tokens) -> Int[Tensor, " batch"]:
    """Each prompt's number of tokens, less what it was padded with on the right."""
    padding = getattr(getattr(model, "tokenizer", None), "pad_token_id", None)
    if padding is None:
        return torch.full((len(tokens),), tokens.shape[1])
    real = (tokens != padding).int()
    return tokens.shape[1] - real.flip(1).cummax(1).values.logical_not().sum(1)


def require_read_at_words(model: Any, tokens: Tokens, metric: Any) -> None:
    """Raises CourseError where the metric would be read at padding, prompt by prompt.

    `to_tokens` pads prompts of different lengths on the right, and the last position of a shorter
    one then says nothing about it.
    """
    if not isinstance(metric, LogitDifference) or tokens.ndim != 2:
        return
    lengths = real_lengths(model, tokens).cpu()
    read = metric.positions(tokens.shape[1]).cpu()
    if len(lengths.unique()) == 1 or (read < lengths).all():
        return
    late = (read >= lengths).nonzero()[:, 0].tolist()
    said = ", ".join(f"prompt {i} has {int(lengths[i])} tokens" for i in late[:3])
    raise CourseError(
        f"Prompts of different lengths: {said}{', ...' if len(late) > 3 else ''} and is read at "
        f"position {int(read[late[0]])}, where only padding stands. Give prompts of one length, or "
        "LogitDifference(right, wrong, position=lengths - 1)."
    )
