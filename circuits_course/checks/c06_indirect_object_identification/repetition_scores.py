"""Exercise `repetition_scores`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import (
    attention_by_loop,
    looking_batch,
    of_first,
    toy_batch,
)
from circuits_course.checks.slips import slip

repetition_scores = Exercise(
    "repetition_scores",
    difficulty=3,
    importance=5,
    minutes=10,
    hints=[
        "Two runs: one on batch.tokens, one on the ABC prompts. The places correspond, so "
        "batch.positions holds for both.",
        "attention_between(model, tokens, batch.positions, [(query, key)])[query, key] is the mean "
        "attention of every head, [layer, head].",
        'Give it batch.tokens and batch.corrupt("ABC") in turn; subtract the second.',
    ],
)


@repetition_scores.cases
def _repetition_cases() -> Iterator[Case]:
    small = looking_batch()
    yield Case(
        "a head that looks from END at the IO, one that looks at the subject, one that looks from "
        "a name at its copies", small.model, small, "S2", "S1",
    )  # fmt: skip
    for batch, query, key in (
        (toy_batch(), "S2", "S1+1"),
        (toy_batch(2, 5, 3), "END", "IO"),
        (toy_batch(4, 3, 1), "END", "S2"),
    ):
        yield Case("a random model", batch.model, batch, query, key)


def _both(model: Any, batch: Any, query: Any, key: Any, how: str = "ABC") -> tuple[Tensor, Tensor]:
    other = batch.corrupt(how)
    return (
        attention_by_loop(model, batch, query, key),
        attention_by_loop(model, batch, query, key, tokens=other),
    )


@repetition_scores.oracle
def _repetition_oracle(model: Any, batch: Any, query: str, key: str) -> Tensor:
    looks, control = _both(model, batch, query, key)
    return looks - control


@repetition_scores.wrong(
    "this is the attention alone. Many heads look at that place whatever the names: subtract what "
    "they do on ABC prompts."
)
def without_control(model: Any, batch: Any, query: str, key: str) -> Tensor:
    return _both(model, batch, query, key)[0]


@repetition_scores.wrong("the sign is turned: prompts minus ABC, so that seeing it is positive.")
def repetition_sign_turned(model: Any, batch: Any, query: str, key: str) -> Tensor:
    return -_repetition_oracle(model, batch, query, key)


@repetition_scores.wrong("this is the control alone: what the head does where no name returns.")
def control_alone(model: Any, batch: Any, query: str, key: str) -> Tensor:
    return _both(model, batch, query, key)[1]


@repetition_scores.wrong(
    "query and key are exchanged: pattern[batch, head, q, k], and q is the one who looks."
)
def repetition_transposed(model: Any, batch: Any, query: str, key: str) -> Tensor:
    return _repetition_oracle(model, batch, key, query)


@repetition_scores.wrong(
    "the control is another corruption. In the ABC prompts three different names stand, so that "
    'nothing is said twice: batch.corrupt("ABC").'
)
def control_with_a_repetition(model: Any, batch: Any, query: str, key: str) -> Tensor:
    looks, control = _both(model, batch, query, key, "new_names")
    return looks - control


@repetition_scores.wrong(
    "the positions of the first prompt were used for all; batch.positions has one for each."
)
def repetition_positions_of_first(model: Any, batch: Any, query: str, key: str) -> Tensor:
    looks, control = _both(model, batch, of_first(batch, query), of_first(batch, key))
    return looks - control


@repetition_scores.wrong(
    "that is a ratio. A head with .02 against .01 would look like a strong detector: subtract."
)
def as_a_ratio(model: Any, batch: Any, query: str, key: str) -> Tensor:
    looks, control = _both(model, batch, query, key)
    return looks / control.clamp(min=1e-6)


slip(
    repetition_scores,
    "control_with_names_exchanged",
    "the control still has a repetition: with `swap_names` the two names exchange places and "
    'one of them comes twice as before. Use "ABC".',
    ('"ABC"', '"swap_names"'),
)


slip(
    repetition_scores,
    "control_with_another_subject",
    "the control changes S2 alone. In the ABC prompts all three names are new: "
    'batch.corrupt("ABC").',
    ('"ABC"', '"new_s2"'),
)


slip(
    repetition_scores,
    "relative_to_the_control",
    "the difference was divided by the control. A head with .02 against .01 would look as "
    "strong as one with .8 against .4: keep the difference.",
    ("return looks - control", "return (looks - control) / control"),
)


slip(
    repetition_scores,
    "mean_of_both",
    "the two were averaged. What the repetition adds is their difference.",
    ("return looks - control", "return (looks + control) / 2"),
)


slip(
    repetition_scores,
    "squares_subtracted",
    "squares were subtracted. Subtract the attentions themselves.",
    ("return looks - control", "return looks**2 - control**2"),
)


slip(
    repetition_scores,
    "size_of_the_difference",
    "the sign is lost. A head that looks there less when a name returns has a negative score.",
    ("return looks - control", "return (looks - control).abs()"),
)


slip(
    repetition_scores,
    "control_at_another_query",
    "in the control the attention was read from END. Read it between the same two places.",
    (
        "batch.positions, [(query, key)])[query, key]",
        'batch.positions, [(query if tokens is batch.tokens else "END", key)])[query if tokens '
        'is batch.tokens else "END", key]',
    ),
)


slip(
    repetition_scores,
    "control_twice",
    "the control was subtracted twice.",
    ("return looks - control", "return looks - 2 * control"),
)
