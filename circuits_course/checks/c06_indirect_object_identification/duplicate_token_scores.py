"""Exercise `duplicate_token_scores`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checks.c06_indirect_object_identification.shared import (
    looking_cases,
    looks_of_cases,
    of_first,
)

duplicate_token_scores = Exercise(
    "duplicate_token_scores",
    difficulty=2,
    importance=4,
    minutes=6,
    hints=[
        "As name_mover_scores, between two other positions. Who looks? S2, the later one.",
        'pattern[rows, :, batch.positions["S2"], batch.positions["S1"]] in every layer.',
    ],
)

duplicate_token_scores.cases(looking_cases)


@duplicate_token_scores.oracle
def _duplicate_oracle(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "S2", "S1")


@duplicate_token_scores.wrong(
    "query and key are exchanged: S1 cannot look at S2, which comes later."
)
def duplicate_transposed(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "S1", "S2")


@duplicate_token_scores.wrong(
    "this is the attention to S1+1, the token after: an induction head looks there. A "
    "duplicate-token head looks at the earlier copy itself."
)
def looks_like_induction(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "S2", "S1+1")


@duplicate_token_scores.wrong(
    "this is the attention to the IO, the other name. The duplicate of S2 is S1."
)
def duplicate_to_io(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "S2", "IO")


@duplicate_token_scores.wrong(
    "you looked from END. The repetition can be noticed where it happens, at S2."
)
def duplicate_from_end(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "END", "S1")


@duplicate_token_scores.wrong(
    "this is how much S2 looks at itself; its duplicate is the earlier one, S1."
)
def duplicate_itself(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "S2", "S2")


@duplicate_token_scores.wrong(
    "the positions of the first prompt were used for all; batch.positions has one for each."
)
def duplicate_positions_of_first(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, of_first(batch, "S2"), of_first(batch, "S1"))


@duplicate_token_scores.wrong("you summed over the prompts; take the mean.")
def duplicate_summed(model: Any, batch: Any) -> Tensor:
    return looks_of_cases(model, batch, "S2", "S1", total=True)
