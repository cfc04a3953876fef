"""Exercise `rank_by_layer`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c08_logit_lens.shared import (
    lens_by_silencing,
    models_to_try,
    normed_model,
)
from circuits_course.checks.inputs import random_tokens
from circuits_course.checks.slips import slip

rank_by_layer = Exercise(
    "rank_by_layer",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "logit_lens gives the logits [state, pos, d_vocab]. Which position says what comes next?",
        "The rank is the number of tokens whose logit is larger than the token's.",
        "(logits > logits[:, [token]]) is a table of True and False; sum it over the vocabulary.",
    ],
)


@rank_by_layer.cases
def _rank_cases() -> Iterator[Case]:
    for seed, (what, model) in enumerate(models_to_try()):
        prompt = random_tokens(1, 5 + seed, seed=seed)
        best = int(model(prompt)[0, -1].argmax())
        yield Case(f"the model's own answer, {what}", model, prompt, best)
        yield Case(f"some token, {what}", model, prompt, 7 * seed + 4)
    yield Case("a prompt in words", normed_model(), "abcab", 9)


@rank_by_layer.oracle
def _rank_oracle(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    ranks = []
    for logits in lens_by_silencing(model, prompt)[:, -1].tolist():
        ranks.append(sum(value > logits[token] for value in logits))
    return torch.tensor(ranks)


@rank_by_layer.observe
def _whole_ranks(ranks: Any, *inputs: Any) -> Tensor:
    values = torch.as_tensor(ranks)
    return values.long() if (values == values.round()).all() else values


@rank_by_layer.wrong("the ranks start at 1; the top token has rank 0, since none is above it.")
def from_one(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return _rank_oracle(model, prompt, token) + 1


@rank_by_layer.wrong(
    "you counted the tokens with a *smaller* logit. The rank counts those above, so 0 is the top."
)
def from_below(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    logits = lens_by_silencing(model, prompt)[:, -1]
    return (logits < logits[:, [token]]).sum(-1)


@rank_by_layer.wrong("this is the rank after the first position; the prediction is at the last.")
def first_position(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    logits = lens_by_silencing(model, prompt)[:, 0]
    return (logits > logits[:, [token]]).sum(-1)


@rank_by_layer.wrong(
    "argsort says which token stands at a rank, not which rank a token has. Look for the place "
    "where the sorted list holds your token, or count the larger logits."
)
def argsort_read_wrongly(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return lens_by_silencing(model, prompt)[:, -1].argsort(-1, descending=True)[:, token]


@rank_by_layer.wrong(
    "these are ranks within all positions together. Compare with the tokens of the last position."
)
def over_all_positions(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    logits = lens_by_silencing(model, prompt)
    return (logits > logits[:, -1:, [token]]).sum((-1, -2))


@rank_by_layer.wrong("those are the token's logits. The rank counts the logits that are larger.")
def logits_themselves(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return lens_by_silencing(model, prompt)[:, -1, token]


@rank_by_layer.wrong("this is the last state's rank alone; give one for every state.")
def last_state_only(model: Any, prompt: str | Tensor, token: int) -> Tensor:
    return _rank_oracle(model, prompt, token)[-1]


slip(
    rank_by_layer,
    "as_a_share",
    "the rank was divided by the size of the vocabulary. Return how many tokens are above.",
    (
        "return (logits > logits[:, [token]]).sum(-1)",
        "return (logits > logits[:, [token]]).sum(-1) * 100 // logits.shape[-1]",
    ),
)


slip(
    rank_by_layer,
    "position_before_the_last",
    "this is the rank after the position before the last; the prediction is at the last: [:, -1].",
    ("[:, -1]", "[:, -2]"),
)


slip(
    rank_by_layer,
    "above_zero",
    "the tokens with a positive logit were counted. Count those above the token's own logit.",
    ("logits > logits[:, [token]]", "logits > 0"),
)


slip(
    rank_by_layer,
    "against_the_last_state",
    "each state's logits were compared with the token's logit in the last state. Compare "
    "within a state.",
    ("logits > logits[:, [token]]", "logits > logits[-1:, [token]]"),
)


slip(
    rank_by_layer,
    "above_the_mean",
    "the tokens above the mean were counted. Count those above the token's own logit.",
    ("logits > logits[:, [token]]", "logits > logits.mean(-1, keepdim=True)"),
)


slip(
    rank_by_layer,
    "rank_of_the_answer",
    "this is the rank of the model's own answer, whatever `token` is.",
    ("logits[:, [token]]", "logits[:, [int(logits[-1].argmax())]]"),
)


slip(
    rank_by_layer,
    "by_size",
    "logits were compared by their size, without the sign.",
    ("logits > logits[:, [token]]", "logits.abs() > logits[:, [token]].abs()"),
)


slip(
    rank_by_layer,
    "best_so_far",
    "this is the best rank so far. Give each state's own: a token may sink again.",
    (
        "return (logits > logits[:, [token]]).sum(-1)",
        "return (logits > logits[:, [token]]).sum(-1).cummin(0).values",
    ),
)


slip(
    rank_by_layer,
    "mean_over_positions",
    "the ranks of all positions were averaged. The prediction is at the last one.",
    (
        "logits = logit_lens(model, prompt)[:, -1]\n"
        "    return (logits > logits[:, [token]]).sum(-1)",
        "logits = logit_lens(model, prompt)\n"
        "    return (logits > logits[..., [token]]).sum(-1).float().mean(1).round().long()",
    ),
)
