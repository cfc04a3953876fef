"""A token as the text that it stands for."""

from __future__ import annotations

from typing import Any

import torch


def word_of(model: Any, token: int) -> str:
    """The text of one token id; model: a CourseTransformer or a bridge."""
    return str(model.to_str_tokens(torch.tensor([token]), prepend_bos=False)[0])
