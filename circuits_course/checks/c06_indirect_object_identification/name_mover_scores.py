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


slip(
    name_mover_scores,
    "mover_from_s2",
    "you looked from S2. The answer is given at END, so that is where a name mover looks from.",
    ('batch.positions["END"]', 'batch.positions["S2"]'),
)


slip(
    name_mover_scores,
    "mover_minus_subject",
    "the attention to the subject was taken away. Asked is the attention to the IO as it is.",
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer][rows, :, end, io] - cache["pattern", layer][rows, :, end, '
        'batch.positions["S2"]] for layer',
    ),
)


slip(
    name_mover_scores,
    "mover_scores_not_pattern",
    "these are the scores, from before the softmax. Attention is the pattern: between 0 and "
    "1, and 1 in all for each query.",
    ('"hook_pattern"', '"hook_attn_scores"'),
    ('"pattern"', '"attn_scores"'),
)


slip(
    name_mover_scores,
    "one_after_the_name",
    'this is the attention to the token after the IO. batch.positions["IO"] is the name\'s '
    "own place.",
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer][rows, :, end, io + 1] for layer',
    ),
)


slip(
    name_mover_scores,
    "one_before_end",
    'you looked from the token before END. batch.positions["END"] is the last token\'s own place.',
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer][rows, :, end - 1, io] for layer',
    ),
)


slip(
    name_mover_scores,
    "queries_averaged",
    "you averaged over all queries. Only END is asked: pattern[rows, :, end, io].",
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer].mean(2)[rows, :, io] for layer',
    ),
)


slip(
    name_mover_scores,
    "first_prompt_only",
    "only the first prompt was read. Take the mean over all of them.",
    ("torch.stack(looks).mean(1)", "torch.stack(looks)[:, 0]"),
)


slip(
    name_mover_scores,
    "share_of_the_names",
    "the attention was divided by that to all three names. Asked is the attention to the IO "
    "as it is.",
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer][rows, :, end, io] / sum(cache["pattern", layer][rows, :, end, '
        'batch.positions[n]] for n in ("IO", "S1", "S2")) for layer',
    ),
)


slip(
    name_mover_scores,
    "largest_key",
    "this is the largest attention of END, wherever it goes. Read the one to the IO.",
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer][rows, :, end].amax(-1) for layer',
    ),
)


slip(
    name_mover_scores,
    "attention_to_bos",
    "this is the attention to the first position, where heads rest. Read the one to the IO.",
    (
        'cache["pattern", layer][rows, :, end, io] for layer',
        'cache["pattern", layer][rows, :, end, 0] for layer',
    ),
)


slip(
    name_mover_scores,
    "share_that_looks",
    "that is the share of prompts in which the head looks mostly there. Asked for is its mean "
    "attention.",
    (
        "torch.stack(looks).mean(1)",
        "(torch.stack(looks) > 0.5).float().mean(1)",
    ),
)
