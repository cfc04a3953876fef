"""What a patching experiment measures, and where two prompts begin to differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Int
from torch import Tensor

from circuits_course.circuits.padding import require_read_at_words, require_same_lengths
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


def require_pair(model: Any, clean: Tokens, corrupted: Tokens, metric: Metric) -> None:
    """Raises CourseError unless clean and corrupted prompts can be patched into each other.

    They correspond token by token, prompts of a pair are as long as each other, and the metric is
    read where words stand, not at what shorter prompts are filled up with.
    """
    require_same_shape(clean, corrupted)
    require_same_lengths(model, clean, corrupted)
    require_read_at_words(model, clean, metric)
