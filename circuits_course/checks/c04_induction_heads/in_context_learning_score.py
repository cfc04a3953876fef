"""Exercise `in_context_learning_score`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

in_context_learning_score = Exercise(
    "in_context_learning_score",
    difficulty=2,
    importance=3,
    minutes=10,
    hints=[
        "If a model gets better with more context, is its loss late in the sequence larger or "
        "smaller than early? Which sign should the score have then?",
        "loss[..., i] is about token i + 1. So where is the loss of token `late`? And where does a "
        "window of `width` tokens end that begins there?",
        "loss[..., late - 1 : late - 1 + width] are the late ones: take their mean over the last "
        "axis, and the same for `early`.",
    ],
)


@in_context_learning_score.cases
def _context_cases() -> Iterator[Case]:
    """No two neighbours are alike, so that counting from the wrong end of a token shows."""
    rows = torch.tensor([[6.0, 5.0, 5.5, 4.0, 3.0, 2.5, 1.0, 1.5],
                         [4.0, 4.5, 2.0, 3.5, 5.0, 1.0, 2.0, 3.0]])  # fmt: skip
    yield Case("the losses of tokens 1 to 8 of two sequences", rows, early=2, late=6)
    yield Case("the same in windows of two tokens", rows, early=2, late=6, width=2)
    yield Case("tokens 50 and 500", normal(3, 520, seed=1))
    yield Case("tokens 50 and 500, and nothing after", normal(2, 500, seed=2))
    yield Case("windows of 10 tokens", normal(4, 99, seed=3), early=10, late=90, width=10)
    yield Case("an early token after the late one", normal(3, 60, seed=4), 48, 8, width=3)
    yield Case("the first token", normal(5, 30, seed=5), early=1, late=20, width=4)
    yield Case("losses of two models on five sequences", normal(2, 5, 45, seed=6), 7, 33, width=5)
    yield Case("a single sequence", normal(41, seed=7), early=4, late=30, width=7)


def _long_enough(loss: Tensor, early: int, late: int, width: int) -> None:
    if loss.shape[-1] < max(early, late) + width - 1:
        raise ValueError("too short")


@in_context_learning_score.oracle
def _context_oracle(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    _long_enough(loss, early, late, width)

    def window(start: int) -> Tensor:
        losses = [loss[..., token - 1] for token in range(start, start + width)]
        return torch.stack(losses).sum(0) / width

    return window(late) - window(early)


def _shifted(loss: Tensor, early: int, late: int, width: int, by: int) -> Tensor:
    """The score with both windows moved; what lies beyond the ends repeats the last entry."""
    _long_enough(loss, early, late, width)
    place = torch.arange(width)
    last = loss.shape[-1] - 1
    at = [loss[..., (start - 1 + by + place).clamp(0, last)].mean(-1) for start in (late, early)]
    return at[0] - at[1]


@in_context_learning_score.trial
def raises_for_short_sequences(
    attempt, loss: Tensor, early: int = 50, late: int = 500, width: int = 1
):
    short = loss[..., : max(early, late) + width - 2]
    try:
        attempt(short, early, late, width)
    except ValueError:
        return None
    return f"losses of {short.shape[-1]} tokens, with tokens up to {max(early, late) + width - 1} "\
           "asked for, should raise ValueError"  # fmt: skip


@in_context_learning_score.wrong(
    "the sign is turned: the score is late minus early, so that a model that profits from its "
    "context has a negative one."
)
def early_minus_late(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return -_context_oracle(loss, early, late, width)


@in_context_learning_score.wrong(
    "you are one token late: entry i of the loss is about token i + 1, so the loss of token `late` "
    "is entry late - 1."
)
def one_late(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return _shifted(loss, early, late, width, 1)


@in_context_learning_score.wrong(
    "you are one token early: the loss of token `late` is entry late - 1, not late - 2."
)
def one_early(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return _shifted(loss, early, late, width, -1)


@in_context_learning_score.wrong("`width` is not used: average over that many tokens.")
def width_ignored(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    _long_enough(loss, early, late, width)
    return _context_oracle(loss, early, late, 1)


@in_context_learning_score.wrong(
    "your windows have one token too many: from late to late + width - 1 they are `width` tokens."
)
def one_too_wide(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return _shifted(loss, early, late, width + 1, 0)


@in_context_learning_score.wrong(
    "these are the sums over the windows: a wider window would give a larger score. Take the mean."
)
def summed(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return _context_oracle(loss, early, late, width) * width


@in_context_learning_score.wrong("this is the ratio of the two losses; the score is a difference.")
def ratio(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    _long_enough(loss, early, late, width)
    at = [loss[..., start - 1 : start - 1 + width].mean(-1) for start in (late, early)]
    return at[0] / at[1]


@in_context_learning_score.wrong(
    "you averaged over all tokens up to each place. The score compares two windows."
)
def means_up_to(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    _long_enough(loss, early, late, width)
    return loss[..., :late].mean(-1) - loss[..., :early].mean(-1)


@in_context_learning_score.wrong(
    "50 and 500 are written into the function: use the arguments `early` and `late`."
)
def fixed_tokens(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return _shifted(loss, 50, 500, width, 0)


@in_context_learning_score.wrong(
    "this is the mean over the sequences: keep one score for each, so that their spread can be "
    "seen."
)
def mean_over_sequences(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    score = _context_oracle(loss, early, late, width)
    return score.mean()


@in_context_learning_score.wrong("this is only the loss at the late token: subtract the early one.")
def late_alone(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    _long_enough(loss, early, late, width)
    return loss[..., late - 1 : late - 1 + width].mean(-1)


@in_context_learning_score.wrong(
    "you took the size of each change: a sequence whose loss rises must be told from one whose "
    "loss falls. Leave abs() out."
)
def size_of_change(loss: Tensor, early: int = 50, late: int = 500, width: int = 1) -> Tensor:
    return _context_oracle(loss, early, late, width).abs()


slip(
    in_context_learning_score,
    "centred_windows",
    "the windows are centred on `late` and `early`. They begin there.",
    (
        "loss[..., late - 1 : late - 1 + width]",
        "loss[..., late - 1 - width // 2 : late - 1 - width // 2 + width]",
    ),
    (
        "loss[..., early - 1 : early - 1 + width]",
        "loss[..., early - 1 - width // 2 : early - 1 - width // 2 + width]",
    ),
)


slip(
    in_context_learning_score,
    "windows_end_there",
    "the windows end at `late` and `early`. They begin there.",
    ("loss[..., late - 1 : late - 1 + width]", "loss[..., max(late - width, 0) : late]"),
    ("loss[..., early - 1 : early - 1 + width]", "loss[..., max(early - width, 0) : early]"),
)


slip(
    in_context_learning_score,
    "early_mean_of_all_sequences",
    "the early loss was averaged over the sequences. Each sequence has its own.",
    (
        "at_late - at_early",
        "at_late - at_early.mean()",
    ),
)


slip(
    in_context_learning_score,
    "error_by_the_late_token_alone",
    "whether a sequence is long enough was asked of `late` alone. `early` may come after it.",
    (
        "max(early, late) + width",
        "late + width",
    ),
)


slip(
    in_context_learning_score,
    "width_not_in_the_error",
    "the width was left out where the length is checked: the last token asked for is max(early, "
    "late) + width - 1.",
    (
        "max(early, late) + width - 1",
        "max(early, late)",
    ),
)
