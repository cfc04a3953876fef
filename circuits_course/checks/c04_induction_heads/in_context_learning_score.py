"""Exercise `in_context_learning_score`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal

in_context_learning_score = Exercise(
    "in_context_learning_score",
    difficulty=1,
    importance=3,
    minutes=5,
    hints=[
        "If a model gets better with more context, is its loss late in the sequence larger or "
        "smaller than early? Which sign should the score have then?",
        "loss[..., i] is about token i + 1. So where is the loss of token `late`? Subtract the "
        "early one from it, and average over the sequences last.",
    ],
)


def _steps(*levels: tuple[int, float], length: int) -> Tensor:
    """A loss that falls in steps: (position from which, level)."""
    loss = torch.zeros(length)
    for start, level in levels:
        loss[start:] = level
    return loss


@in_context_learning_score.cases
def _context_cases() -> Iterator[Case]:
    """Losses are level around the two tokens, so that it does not matter whether tokens are
    counted from 0 or from 1; the literature does both."""
    falls = _steps((0, 4.0), (20, 3.0), (80, 2.5), (400, 2.0), (560, 1.0), length=600)
    yield Case("a loss of 3.0 around token 50 and of 2.0 around token 500", falls)
    several = torch.stack([falls, 2 * falls, falls + 1, falls.flip(0)])
    yield Case("four sequences", several, early=100, late=500)
    bumpy = normal(3, 12, seed=1).repeat_interleave(5, dim=1)
    yield Case("other tokens than usual", bumpy, early=13, late=38)
    yield Case("an early token after the late one", bumpy, early=48, late=8)
    axes = normal(2, 5, 9, seed=2).repeat_interleave(5, dim=-1)
    yield Case("losses of two models on five sequences", axes, early=7, late=33)


@in_context_learning_score.oracle
def _context_oracle(loss: Tensor, early: int = 50, late: int = 500) -> float:
    rows = loss.reshape(-1, loss.shape[-1]).tolist()
    return sum(row[late - 1] - row[early - 1] for row in rows) / len(rows)


@in_context_learning_score.observe
def _averaged(output: Any, loss: Tensor, early: int = 50, late: int = 500) -> Any:
    """One score for each sequence is as good: their mean is compared."""
    if isinstance(output, Tensor) and output.ndim and output.shape == loss.shape[:-1]:
        return output.mean()
    return output


@in_context_learning_score.wrong(
    "the sign is turned: the score is late minus early, so that a model that profits from its "
    "context has a negative one."
)
def early_minus_late(loss: Tensor, early: int = 50, late: int = 500) -> float:
    return -_context_oracle(loss, early, late)


@in_context_learning_score.wrong("this is the ratio of the two losses; the score is a difference.")
def ratio(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return (loss[..., late - 1] / loss[..., early - 1]).mean()


@in_context_learning_score.wrong(
    "you averaged over all tokens up to each place. The score compares two tokens, not two "
    "stretches."
)
def means_up_to(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return loss[..., :late].mean() - loss[..., :early].mean()


@in_context_learning_score.wrong(
    "50 and 500 are written into the function: use the arguments `early` and `late`."
)
def fixed_tokens(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    last = loss.shape[-1] - 1
    return (loss[..., min(499, last)] - loss[..., min(49, last)]).mean()


@in_context_learning_score.wrong(
    "this is the sum over the sequences: a larger batch would give a larger score. Take the mean."
)
def summed_over_sequences(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return (loss[..., late - 1] - loss[..., early - 1]).sum()


@in_context_learning_score.wrong("this is only the loss at the late token: subtract the early one.")
def late_alone(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return loss[..., late - 1].mean()


@in_context_learning_score.wrong("only the first sequence is used: average over all of them.")
def first_sequence(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    row = loss.reshape(-1, loss.shape[-1])[0]
    return row[late - 1] - row[early - 1]


@in_context_learning_score.wrong(
    "you averaged everything after the late token and everything before the early one. The score "
    "compares two tokens."
)
def means_outside(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return loss[..., late - 1 :].mean() - loss[..., :early].mean()


@in_context_learning_score.wrong(
    "you took the size of each change: a sequence whose loss rises must count against one whose "
    "loss falls. Leave abs() out."
)
def size_of_change(loss: Tensor, early: int = 50, late: int = 500) -> Tensor:
    return (loss[..., late - 1] - loss[..., early - 1]).abs().mean()
