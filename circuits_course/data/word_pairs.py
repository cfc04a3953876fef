"""Pairs of words that go together, put where nothing but the first word tells the second."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.sequences import repeats_for

PAIRS = (
    "United States",
    "New York",
    "Los Angeles",
    "Supreme Court",
    "Middle East",
    "White House",
    "Soviet Union",
    "Saudi Arabia",
    "World War",
    "due to",
    "according to",
    "such as",
    "rather than",
    "instead of",
    "able to",
    "more than",
    "of course",
    "depending on",
)


def pairs_in_noise(
    model: Any, pairs: tuple[str, ...] = PAIRS, context: int = 4, seed: int = 0
) -> Int[Tensor, "pair pos"]:
    """[BOS, `context` random tokens, first word, second word], a row for each pair.

    Pairs that are not two tokens to this model are left out.
    """
    ids = [model.to_tokens(f" {pair}", prepend_bos=False)[0] for pair in pairs]
    words = torch.stack([pair for pair in ids if len(pair) == 2])
    noise = repeats_for(model, context, batch=len(words), seed=seed)[:, : context + 1]
    return torch.cat([noise, words], dim=1)
