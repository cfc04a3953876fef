"""Exercise `name_mover_scores`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checks.c06_indirect_object_identification.shared import (
    all_patterns,
    attention_by_loop,
    looking_cases,
    of_first,
)
from circuits_course.checks.slips import slip

name_mover_scores = Exercise(
    "name_mover_scores",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "pattern[batch, head, query, key]: the one who looks is END, the one looked at is the IO.",
        "Both positions differ from prompt to prompt. Index with three vectors of length batch: "
        "pattern[rows, :, end, io] is [batch, head].",
        "Do that in every layer, stack, and average over the prompts.",
    ],
)

name_mover_scores.cases(looking_cases)


@name_mover_scores.oracle
def _mover_oracle(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, "END", "IO")


def _last(batch: Any) -> Tensor:
    return torch.full_like(batch.positions["END"], batch.tokens.shape[1] - 1)


@name_mover_scores.wrong(
    "query and key are exchanged: you asked how much the IO looks at END, which comes later. "
    "pattern[batch, head, q, k]: q is the one who looks."
)
def mover_transposed(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, "IO", "END")


@name_mover_scores.wrong(
    "this is the attention to the subject. A name mover fetches the name that is the answer, the "
    "IO."
)
def mover_to_subject(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, "END", "S1")


@name_mover_scores.wrong(
    "this is the attention to the second subject, S2. Heads that look there come later in the "
    "chapter; the answer is the IO."
)
def mover_to_s2(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, "END", "S2")


@name_mover_scores.wrong(
    "the positions of the first prompt were used for all. They move with the template and the "
    "order: batch.positions has one for each prompt."
)
def mover_positions_of_first(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, of_first(batch, "END"), of_first(batch, "IO"))


@name_mover_scores.wrong(
    "you read the last column of positions. Shorter prompts are filled up on the right, so their "
    'END comes earlier: batch.positions["END"].'
)
def mover_from_last(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, _last(batch), "IO")


@name_mover_scores.wrong("you summed over the prompts; take the mean, so that batches compare.")
def mover_summed(model: Any, batch: Any) -> Tensor:
    return attention_by_loop(model, batch, "END", "IO", total=True)


@name_mover_scores.wrong(
    "every prompt's END was read at every prompt's IO. Indexing twice, [:, :, end][..., io], makes "
    "a "
    "table; index once, with rows: pattern[rows, :, end, io]."
)
def mover_every_pairing(model: Any, batch: Any) -> Tensor:
    end, io = batch.positions["END"], batch.positions["IO"]
    patterns = all_patterns(model, batch.tokens)
    return torch.stack([p[:, :, end][..., io].mean((0, 2, 3)) for p in patterns])


slip(
    name_mover_scores,
    "largest_of_the_prompts",
    "the prompt with the most attention counts. Take the mean over prompts.",
    (".mean(1)", ".amax(1)"),
)
