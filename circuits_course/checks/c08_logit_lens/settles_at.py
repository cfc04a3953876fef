"""Exercise `settles_at`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

settles_at = Exercise(
    "settles_at",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "The top token may come, go and come back. Look for the last state that says something "
        "else than the final one.",
        "(top != top[-1]).nonzero() lists the states that say something else.",
        "One after the last of these; 0 if there is none.",
    ],
)


def _one_hot(*tops: int, d_vocab: int = 9) -> Tensor:
    return F.one_hot(torch.tensor(tops), d_vocab).float() * 3.0 - 1.0


@settles_at.cases
def _settles_cases() -> Iterator[Case]:
    yield Case("a prediction that comes at state 3 and stays", _one_hot(1, 2, 2, 5, 5, 5))
    yield Case("one that comes at state 1, goes, and comes back at 4", _one_hot(0, 5, 2, 2, 5, 5))
    yield Case("one that is there from the embedding on", _one_hot(4, 4, 4, 4))
    yield Case("one that only the last state makes", _one_hot(1, 2, 3, 4, 6))
    for seed in range(3):
        logits = normal(8 + seed, 3, seed=seed)
        yield Case("random logits", logits)


@settles_at.oracle
def _settles_oracle(logits: Tensor) -> int:
    tops = [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]
    state = len(tops) - 1
    while state and tops[state - 1] == tops[-1]:
        state -= 1
    return state


@settles_at.observe
def _as_int(state: Any, logits: Tensor) -> int:
    return int(state) if float(state) == int(state) else state


@settles_at.wrong(
    "that is the *first* state with the final answer on top. It may be lost again afterwards: look "
    "for the state from which on it stays."
)
def first_time(logits: Tensor) -> int:
    top = logits.argmax(-1)
    return int((top == top[-1]).nonzero()[0])


@settles_at.wrong(
    "that is the last state that says something else; the answer stands from the next one on."
)
def last_other(logits: Tensor) -> int:
    return _settles_oracle(logits) - 1


@settles_at.wrong("you counted the states that agree with the last. Return where they begin.")
def how_many_agree(logits: Tensor) -> int:
    return len(logits) - _settles_oracle(logits)


@settles_at.wrong(
    "you counted the states whose top token is another one. Where the answer passes by early and "
    "goes again, that state is before the settling too."
)
def how_many_differ(logits: Tensor) -> int:
    top = logits.argmax(-1)
    return int((top != top[-1]).sum())


@settles_at.wrong(
    "one too late: the state after the last one that says something else is already the answer."
)
def one_too_late(logits: Tensor) -> int:
    return _settles_oracle(logits) + 1


@settles_at.wrong("the smallest logit was taken for the largest: use argmax.")
def argmin(logits: Tensor) -> int:
    return _settles_oracle(-logits)


slip(
    settles_at,
    "no_state_differs",
    "where no state differs there is nothing to take the largest of: the answer is then 0.",
    (" if len(other) else 0", ""),
)


slip(
    settles_at,
    "first_other",
    "that is the first state that says something else. Look for the last one: the answer "
    "stands from the next on.",
    (
        "return int(other.max()) + 1 if len(other) else 0",
        "return int(other.min()) if len(other) else 0",
    ),
)


slip(
    settles_at,
    "counted_from_the_end",
    "states were counted from the end. State 0 is the embedding.",
    (
        "return int(other.max()) + 1 if len(other) else 0",
        "return len(top) - 1 - (int(other.max()) + 1 if len(other) else 0)",
    ),
)


slip(
    settles_at,
    "last_change_of_the_first",
    "the states were compared with the first one. Compare with the last: the final answer.",
    ("top[-1]", "top[0]"),
)


slip(
    settles_at,
    "first_two_alike",
    "that is the first state that agrees with the next one. The answer has to stay to the end.",
    (
        "return int(other.max()) + 1 if len(other) else 0",
        "alike = (top[1:] == top[:-1]).nonzero()\n"
        "    return int(alike[0]) if len(alike) else len(top) - 1",
    ),
)


slip(
    settles_at,
    "two_in_a_row",
    "that is the first state from which the answer stands twice in a row. It has to stay to "
    "the end.",
    (
        "return int(other.max()) + 1 if len(other) else 0",
        "pairs = ((top[:-1] == top[-1]) & (top[1:] == top[-1])).nonzero()\n"
        "    return int(pairs[0]) if len(pairs) else len(top) - 1",
    ),
)


slip(
    settles_at,
    "the_token_itself",
    "that is the final token. Return the number of the state.",
    ("return int(other.max()) + 1 if len(other) else 0", "return int(top[-1])"),
)
