"""Exercise `behaviour_masks`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c09_open_questions.shared import (
    Masks,
    drawn,
    letters,
    masks_by_cell,
)
from circuits_course.checks.slips import slip

behaviour_masks = Exercise(
    "behaviour_masks",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Write BOS a b a b down twice, as rows (queries) and as columns (keys), and cross the "
        "cells of each behaviour. Which diagonal is the first one? Which cells say 'same token'?",
        "`same` says at [b, q, k] whether query and key hold the same token. Induction asks about "
        "the token *before* the key: the same table, moved one column to the right.",
        "after_same[:, :, 1:] = same[:, :, :-1] moves it. Then forbid the future: a duplicate has "
        "key < query, an induction target key <= query.",
    ],
)


@behaviour_masks.cases
def _mask_cases() -> Iterator[Case]:
    yield Case("BOS a b c a b", letters("abcab"))
    yield Case("BOS a a b, where a token follows itself", letters("aab"))
    yield Case("BOS a b a c a, where there are two earlier copies", letters("abaca"))
    for seed, (batch, pos) in enumerate(((2, 7), (3, 9), (1, 12))):
        yield Case("random tokens that come again", drawn(batch, pos, seed))


@behaviour_masks.oracle
def _mask_oracle(tokens: Tensor) -> Masks:
    return masks_by_cell(tokens)


@behaviour_masks.observe
def _as_truths(output: Any, tokens: Tensor) -> Masks:
    """Zeros and ones will do for truth values, and one mask for all sequences may be expanded."""
    shape = (*tokens.shape, tokens.shape[1])
    masks = {}
    for name, mask in output.items():
        table = torch.as_tensor(mask)
        masks[name] = table.bool().expand(shape) if table.ndim == 2 else table.bool()
    return masks


def _changed(tokens: Tensor, **changes: Tensor) -> Masks:
    """The right masks with some of them exchanged; `previous`, `duplicate` or `induction`."""
    full = {"previous": "previous token", "duplicate": "duplicate token", "induction": "induction"}
    masks = masks_by_cell(tokens)
    masks.update({full[name]: mask for name, mask in changes.items()})
    return masks


@behaviour_masks.wrong(
    "your duplicates include the query itself. Every token equals itself; a duplicate is an "
    "*earlier* place: key < query."
)
def counts_itself(tokens: Tensor) -> Masks:
    itself = torch.eye(tokens.shape[1], dtype=torch.bool)
    itself[0] = False
    return _changed(tokens, duplicate=masks_by_cell(tokens)["duplicate token"] | itself)


@behaviour_masks.wrong(
    "your induction mask marks the token *before* an earlier copy. An induction head looks at the "
    "token that came *after* it: that is what it will say."
)
def token_before(tokens: Tensor) -> Masks:
    before = torch.zeros_like(masks_by_cell(tokens)["induction"])
    before[:, :, 1:-1] = masks_by_cell(tokens)["duplicate token"][:, :, 2:]
    return _changed(tokens, induction=before)


@behaviour_masks.wrong(
    "your induction mask marks the earlier copy itself. That is what a duplicate-token head looks "
    "at; induction looks one place further on."
)
def induction_is_duplicate(tokens: Tensor) -> Masks:
    return _changed(tokens, induction=masks_by_cell(tokens)["duplicate token"])


@behaviour_masks.wrong(
    "your masks allow keys after the query. Attention is causal: no head can look there, so such "
    "cells would only count as missed."
)
def looks_ahead(tokens: Tensor) -> Masks:
    same_token = tokens[:, :, None] == tokens[:, None, :]
    same_token[:, :, 0] = False
    after = torch.zeros_like(same_token)
    after[:, :, 1:] = tokens[:, :, None] == tokens[:, None, :-1]
    apart = ~torch.eye(tokens.shape[1], dtype=torch.bool)
    return _changed(tokens, duplicate=same_token & apart, induction=after)


@behaviour_masks.wrong(
    "keys and queries are exchanged: the masks are [batch, q, k], and rows are the ones who look."
)
def transposed(tokens: Tensor) -> Masks:
    return {name: mask.transpose(1, 2) for name, mask in masks_by_cell(tokens).items()}


@behaviour_masks.wrong(
    "BOS counts as a target. Heads rest on BOS when they have nothing to do, so key 0 must not "
    "count for any behaviour."
)
def bos_counts(tokens: Tensor) -> Masks:
    previous = masks_by_cell(tokens)["previous token"]
    previous[:, 1, 0] = True
    return _changed(tokens, previous=previous)


@behaviour_masks.wrong(
    "you marked the nearest earlier copy alone. A head may look at any of them; mark them all."
)
def nearest_copy(tokens: Tensor) -> Masks:
    def nearest(mask: Tensor) -> Tensor:
        last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
        return last

    masks = masks_by_cell(tokens)
    return _changed(
        tokens, duplicate=nearest(masks["duplicate token"]), induction=nearest(masks["induction"])
    )


@behaviour_masks.wrong(
    "your induction mask leaves out the query itself. Where a token follows itself (a a), the "
    "second one is also what came after the first: key <= query."
)
def induction_strictly_before(tokens: Tensor) -> Masks:
    itself = torch.eye(tokens.shape[1], dtype=torch.bool)
    return _changed(tokens, induction=masks_by_cell(tokens)["induction"] & ~itself)


@behaviour_masks.wrong("your previous-token mask marks the key two before the query, not one.")
def two_back(tokens: Tensor) -> Masks:
    pos = torch.arange(tokens.shape[1])
    two = (pos[:, None] - pos == 2).expand_as(masks_by_cell(tokens)["induction"]).clone()
    two[:, :, 0] = False
    return _changed(tokens, previous=two)


slip(
    behaviour_masks,
    "copies_for_followers",
    "the induction mask marks the earlier copies themselves. It is about the keys that stand one "
    "after such a copy.",
    ("after_same[:, :, 1:] = same[:, :, :-1]", "after_same = same"),
)


slip(
    behaviour_masks,
    "queries_moved",
    "the queries were moved. The key's own previous token is what counts: move the keys, "
    "after_same[:, :, 1:].",
    ("after_same[:, :, 1:] = same[:, :, :-1]", "after_same[:, 1:] = same[:, :-1]"),
)


slip(
    behaviour_masks,
    "followers_backwards",
    "the keys were moved the wrong way: these stand before an earlier copy, not after it.",
    ("after_same[:, :, 1:] = same[:, :, :-1]", "after_same[:, :, :-1] = same[:, :, 1:]"),
)


slip(
    behaviour_masks,
    "next_for_previous",
    "key == query + 1 is the next token, which nobody may look at.",
    ("key == query - 1", "key == query + 1"),
)


slip(
    behaviour_masks,
    "nearest_copy_only",
    "only the nearest earlier copy is marked: every one counts.",
    (
        '"duplicate token": same & (key < query)',
        '"duplicate token": (m := same & (key < query)) & (m.flip(-1).cumsum(-1).flip(-1) == 1)',
    ),
)


slip(
    behaviour_masks,
    "all_earlier_keys",
    "your previous-token mask marks every earlier key. The one just before is asked for: key "
    "== query - 1.",
    (
        '"previous token": (key == query - 1).expand(batch, pos, pos),',
        '"previous token": (key <= query - 1).expand(batch, pos, pos),',
    ),
)


slip(
    behaviour_masks,
    "first_copy_only",
    "only the earliest copy is marked: every one counts.",
    (
        '"duplicate token": same & (key < query),',
        '"duplicate token": same & (key < query) & ((same & (key < query)).cumsum(-1) == 1),',
    ),
)


slip(
    behaviour_masks,
    "induction_two_after",
    "your induction mask is one too far on: it marks the second token after an earlier copy.",
    ("after_same[:, :, 1:] = same[:, :, :-1]", "after_same[:, :, 2:] = same[:, :, :-2]"),
)


slip(
    behaviour_masks,
    "nearest_follower_only",
    "only what followed the nearest earlier copy is marked for induction: every earlier copy "
    "counts.",
    (
        '"induction": after_same & (key <= query),',
        '"induction": after_same & (key <= query) & ((after_same & (key <= '
        "query)).flip(-1).cumsum(-1).flip(-1) == 1),",
    ),
)


slip(
    behaviour_masks,
    "previous_and_itself",
    "your previous-token mask marks the query itself as well.",
    (
        '"previous token": (key == query - 1).expand(batch, pos, pos),',
        '"previous token": ((key == query - 1) | (key == query)).expand(batch, pos, pos),',
    ),
)


slip(
    behaviour_masks,
    "tokens_of_the_first",
    "every sequence got the masks of the first one. Each has its own tokens.",
    (
        "same = tokens[:, :, None] == tokens[:, None, :]",
        "same = (tokens[:1, :, None] == tokens[:1, None, :]).expand(batch, pos, pos)",
    ),
)


slip(
    behaviour_masks,
    "one_copy_only",
    "induction is marked only where there is one earlier copy. Every earlier copy counts, "
    "however many there are.",
    (
        '"induction": after_same & (key <= query),',
        '"induction": after_same & (key <= query) & ((after_same & (key <= query)).sum(-1, '
        "keepdim=True) == 1),",
    ),
)


slip(
    behaviour_masks,
    "first_follower_only",
    "only what followed the *first* copy is marked for induction: every earlier copy counts.",
    (
        '"induction": after_same & (key <= query),',
        '"induction": after_same & (key <= query) & ((after_same & (key <= query)).cumsum(-1) '
        "== 1),",
    ),
)


slip(
    behaviour_masks,
    "future_keys_too",
    "keys of the future are marked for induction. Only keys up to the query count.",
    (
        "after_same & (key <= query)",
        "after_same",
    ),
)
