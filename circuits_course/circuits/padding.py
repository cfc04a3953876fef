"""Prompts of different lengths: where a batch holds padding, and who would read it as words.

`to_tokens` fills shorter prompts up on the right. Causal attention keeps that from every real
position, so a run of such a batch is right wherever a word stands; what is wrong is to read a
number at a padding token. A tool that is told where to read, or that can leave padding out, takes
such prompts; one that cannot refuses them and says which they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError

Tokens = Int[Tensor, "batch pos"]


def real_lengths(model: Any, tokens: Tokens) -> Int[Tensor, " batch"]:
    """Each prompt's number of tokens, less what it was padded with on the right."""
    padding = _padding_token(model)
    if padding is None:
        return torch.full((len(tokens),), tokens.shape[1])
    return tokens.shape[1] - _leading(tokens.flip(1) == padding)


def real_positions(model: Any, tokens: Tokens) -> Bool[Tensor, "batch pos"]:
    """Where words stand: true up to each prompt's real length."""
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return places < real_lengths(model, tokens).to(tokens.device)[:, None]


def require_left_aligned(model: Any, tokens: Tokens) -> None:
    """Raises CourseError for prompts padded on the left, where every word would see padding."""
    padding = _padding_token(model)
    if padding is None or tokens.ndim != 2:
        return
    before = _leading(tokens == padding)
    if len(before.unique()) > 1:
        row = int(before.argmax())
        raise CourseError(
            f"Prompt {row} begins with {int(before[row])} padding tokens, which its words would "
            'see. Pad on the right: model.to_tokens(texts, padding_side="right").'
        )


def require_one_length(model: Any, tokens: Tokens) -> None:
    """Raises CourseError for prompts of different lengths, naming some of them."""
    require_left_aligned(model, tokens)
    lengths = real_lengths(model, tokens)
    if len(lengths.unique()) > 1:
        short = (lengths < lengths.max()).nonzero()[:, 0].tolist()
        longest = int(lengths.argmax())
        raise CourseError(
            f"Prompts of different lengths: {_named(short, lengths)}, prompt {longest} has "
            f"{int(lengths[longest])}; the shorter are filled up with padding, which would be read "
            "as words. Give prompts of one length, or one at a time."
        )


def require_same_lengths(model: Any, clean: Tokens, corrupted: Tokens) -> None:
    """Raises CourseError where a clean prompt and its corrupted one have different lengths."""
    ours, theirs = real_lengths(model, clean), real_lengths(model, corrupted)
    differ = (ours != theirs).nonzero()[:, 0].tolist()
    if differ:
        row = differ[0]
        raise CourseError(
            f"Prompt {row} has {int(ours[row])} tokens clean and {int(theirs[row])} corrupted, the "
            "rest is padding: they have to correspond token by token. Change words for words of as "
            "many tokens."
        )


def require_at_words(model: Any, tokens: Tokens, position: int | Tensor) -> None:
    """Raises CourseError where a position, counted from the end, falls on padding.

    position: one for all prompts or one each. Positions of a tensor that are counted from the
    start were chosen prompt by prompt, and are taken as they are.
    """
    require_left_aligned(model, tokens)
    lengths = real_lengths(model, tokens).cpu()
    if bool((lengths >= tokens.shape[1] - 1).all()) and len(lengths.unique()) == 1:
        return  # no padding; or every prompt ends with that token once, as a word
    given = torch.as_tensor(position).cpu()
    chosen = torch.broadcast_to((given >= 0) & (given.ndim > 0), lengths.shape)
    read = torch.where(given < 0, given + tokens.shape[1], given).expand(len(lengths))
    late = ((read >= lengths) & ~chosen).nonzero()[:, 0].tolist()
    if late:
        raise CourseError(
            f"Prompts of different lengths: {_named(late, lengths)} and is read at position "
            f"{int(read[late[0]])}, where only padding stands. Give prompts of one length, or one "
            "position each, counted from the start: position=lengths - 1."
        )


def require_read_at_words(model: Any, tokens: Tokens, metric: Any) -> None:
    """Raises CourseError where a metric reads the logits at padding.

    metric: a `LogitDifference`, or any function of the logits [batch, pos, d_vocab]. What a
    function reads is found by trying: it must not change when the logits at padding do.
    """
    if tokens.ndim != 2:
        return
    if isinstance(metric, LogitDifference):
        require_at_words(model, tokens, metric.position)
        return
    require_left_aligned(model, tokens)
    real = real_positions(model, tokens)
    if not real.all():
        with torch.no_grad():
            logits = model(tokens)
        _require_blind(metric, logits, _other_logits(logits, real), real)


def require_scored_at_words(
    score: Callable[[Tensor], Tensor],
    pattern: Float[Tensor, "batch head q k"],
    real: Bool[Tensor, "batch pos"],
) -> None:
    """Raises CourseError where a score of attention patterns reads queries that are padding."""
    if not real.all():
        _require_blind(score, pattern, _other_patterns(pattern, real), real)


def _require_blind(
    measure: Callable[[Tensor], Tensor], value: Tensor, others: Iterator[Tensor], real: Tensor
) -> None:
    """Raises CourseError unless `measure` says the same of a value and of all the others."""
    found = torch.as_tensor(measure(value))
    for other in others:
        if not torch.allclose(torch.as_tensor(measure(other)), found, atol=1e-6, equal_nan=True):
            _refuse_reading(real)


def _refuse_reading(real: Bool[Tensor, "batch pos"]) -> NoReturn:
    lengths, n_pos = real.sum(1), real.shape[1]
    short = (lengths < n_pos).nonzero()[:, 0].tolist()
    raise CourseError(
        f"Prompts of different lengths: {_named(short, lengths)}, filled up to {n_pos} with "
        "padding, and what you measure reads the padding too. Read each prompt at its own last "
        "token, or give prompts of one length."
    )


def _other_logits(logits: Tensor, real: Tensor) -> Iterator[Tensor]:
    """The same logits where words stand, others at padding: the last word's, and made-up ones."""
    rows, padding = torch.arange(len(logits)), ~real
    last = logits[rows, real.sum(1) - 1]
    noise = torch.randn(logits.shape[-1], generator=torch.Generator().manual_seed(0))
    for there in (last[:, None].expand_as(logits), (10 * noise).to(logits).expand_as(logits)):
        yield torch.where(padding[..., None], there, logits)


def _other_patterns(pattern: Tensor, real: Tensor) -> Iterator[Tensor]:
    """The same attention of words, and padding that looks at itself, or one back, or evenly."""
    n_pos, padding = real.shape[1], ~real
    itself = torch.eye(n_pos)
    even = torch.ones(n_pos, n_pos).tril()
    for there in (itself, itself.roll(-1, dims=1), even / even.sum(-1, keepdim=True)):
        yield torch.where(padding[:, None, :, None], there.to(pattern), pattern)


def _named(rows: list[int], lengths: Tensor) -> str:
    said = ", ".join(f"prompt {row} has {int(lengths[row])} tokens" for row in rows[:3])
    return f"{said}{', ...' if len(rows) > 3 else ''}"


def _padding_token(model: Any) -> int | None:
    return getattr(getattr(model, "tokenizer", None), "pad_token_id", None)


def _leading(flags: Bool[Tensor, "batch pos"]) -> Int[Tensor, " batch"]:
    """How many of a row's first entries are true, one after the other."""
    return flags.int().cummin(1).values.sum(1)
