"""Sequences that any model can read: repeated random tokens and stretches of text, BOS first."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor


def bos_token(model: Any) -> int:
    """The token that begins a sequence: 0 for the course's models, else the tokenizer's own."""
    tokenizer = getattr(model, "tokenizer", None)
    return 0 if tokenizer is None else int(tokenizer.bos_token_id)


def longest_period(model: Any, period: int) -> int:
    """`period`, or the longest that [BOS, copy, copy] fits into the model's context with."""
    return min(period, (model.cfg.n_ctx - 1) // 2)


def repeats_for(
    model: Any, period: int = 20, batch: int = 4, seed: int = 0
) -> Int[Tensor, "batch pos"]:
    """[BOS, copy, copy] of random tokens of the model's own vocabulary; shorter where need be.

    Neither BOS nor the tokenizer's padding token is drawn, so that no row seems to end early.
    """
    period = longest_period(model, period)
    generator = torch.Generator().manual_seed(seed)
    bos = bos_token(model)
    copy = torch.randint(0, model.cfg.d_vocab - 1, (batch, period), generator=generator)
    copy = copy + (copy >= bos)
    padding = getattr(getattr(model, "tokenizer", None), "pad_token_id", None)
    if padding is not None:
        copy[copy == padding] = model.cfg.d_vocab - 1
    return torch.cat([torch.full((batch, 1), bos), copy, copy], dim=1)


def all_tokens(model: Any, text: str) -> Int[Tensor, " pos"]:
    """The tokens of a text without BOS, all of them; `model.to_tokens` may stop at the context."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return model.to_tokens(text, prepend_bos=False)[0]
    return torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def text_tokens(model: Any, text: str, batch: int, length: int) -> Int[Tensor, "batch pos"]:
    """`batch` stretches of a text, BOS first, `length` tokens each with it."""
    stretches = all_tokens(model, text)[: batch * (length - 1)].view(batch, length - 1)
    return torch.cat([torch.full((batch, 1), bos_token(model)), stretches], dim=1)


def likeliest_followers(tokens: Int[Tensor, " pos"], at_least: int = 8) -> dict[int, int]:
    """Of each token that something follows `at_least` times, the token that follows it most often.

    A text's bigrams, from counting alone. Of followers that are as frequent, the first in the text.
    """
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    listed = tokens.tolist()
    for token, after in pairwise(listed):
        counts[token][after] += 1
    return {
        token: after.most_common(1)[0][0]
        for token, after in counts.items()
        if after.total() >= at_least
    }
