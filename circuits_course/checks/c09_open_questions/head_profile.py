"""Exercise `head_profile`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c09_open_questions.shared import (
    Masks,
    Profile,
    drawn,
    letters,
    masks_by_cell,
    patterns,
    profile_by_query,
    repeats,
)
from circuits_course.checks.inputs import matching_model, random_model
from circuits_course.checks.slips import slip

head_profile = Exercise(
    "head_profile",
    difficulty=3,
    importance=5,
    minutes=12,
    hints=[
        "For one behaviour and one head: on a query that has something to look at, how much of its "
        "attention goes there? That is one number for each such query. Which axes remain to be "
        "averaged?",
        "pattern * mask keeps the attention on the marked keys; sum it over keys. The mask lacks "
        "the head axis: mask[:, None].",
        "on_target is [batch, head, q] and `asked` [batch, q]. on_target.transpose(1, 2)[asked] is "
        "[asked queries, head]; mean over the queries.",
    ],
)


@head_profile.cases
def _profile_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    yield Case(
        "a model whose head 0.1 looks at duplicates and 1.0 at what came after them",
        made,
        repeats(made),
    )
    yield Case("sequences that repeat little, and not equally often", random_model(),
               letters("abcdefg", "abababa"))  # fmt: skip
    yield Case("a sequence of different tokens, where only the previous one can be looked at",
               random_model(), letters("gfedcba"))  # fmt: skip
    for seed in (1, 2):
        tokens = drawn(2 + seed, 9 + seed, seed, d_vocab=9)
        yield Case("a random model, tokens that come again", random_model(seed=seed), tokens)


@head_profile.oracle
def _profile_oracle(model: Any, tokens: Tensor) -> Profile:
    return profile_by_query(model, tokens)


@head_profile.wrong(
    "you averaged over all queries. A query without a key to look at can only score 0; count the "
    "ones that were asked: those with a True in their row of the mask."
)
def all_queries(model: Any, tokens: Tensor) -> Profile:
    return profile_by_query(model, tokens, pool=lambda on_target, asked: on_target.mean())


@head_profile.wrong("you summed over the queries. A score is their mean, and at most 1.")
def summed(model: Any, tokens: Tensor) -> Profile:
    return profile_by_query(model, tokens, pool=lambda on_target, asked: on_target[asked].sum())


@head_profile.wrong(
    "you averaged within each sequence first and then over sequences. Some sequences have more "
    "queries to ask than others: average once, over all asked queries of the batch alike."
)
def sequence_by_sequence(model: Any, tokens: Tensor) -> Profile:
    def pool(on_target: Tensor, asked: Tensor) -> Tensor:
        rows = [
            row[which].mean() for row, which in zip(on_target, asked, strict=True) if which.any()
        ]
        return torch.stack(rows).mean()

    return profile_by_query(model, tokens, pool=pool)


@head_profile.wrong(
    "you averaged over the marked keys. Whether a head looks at one of two copies or at both, what "
    "counts is how much of its attention they get together: sum over keys."
)
def mean_over_keys(model: Any, tokens: Tensor) -> Profile:
    profile = {}
    for name, mask in masks_by_cell(tokens).items():
        if mask.any():
            rows = [layer.transpose(0, 1)[:, mask].mean(-1) for layer in patterns(model, tokens)]
            profile[name] = torch.stack(rows)
    return profile


@head_profile.wrong(
    "you took the best query. One lucky query is no behaviour: average over all that were asked."
)
def best_query(model: Any, tokens: Tensor) -> Profile:
    return profile_by_query(model, tokens, pool=lambda on_target, asked: on_target[asked].max())


@head_profile.wrong(
    "layers and heads are exchanged: each score table is [layer, head], layers first."
)
def heads_first(model: Any, tokens: Tensor) -> Profile:
    return {name: scores.T for name, scores in profile_by_query(model, tokens).items()}


@head_profile.wrong(
    "a behaviour that no query could show stands in your profile. There is nothing to average "
    "there; leave it out, so that nobody takes it for a score."
)
def unasked_kept(model: Any, tokens: Tensor) -> Profile:
    nothing = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    return {**dict.fromkeys(masks_by_cell(tokens), nothing), **profile_by_query(model, tokens)}


@head_profile.wrong(
    "you read the pattern the wrong way round: which queries look at a key, in place of which keys "
    "a query looks at. Rows are queries; sum over the last axis."
)
def pattern_transposed(model: Any, tokens: Tensor) -> Profile:
    def flipped(tokens: Tensor) -> Masks:
        return {name: mask.transpose(1, 2) for name, mask in masks_by_cell(tokens).items()}

    return profile_by_query(model, tokens, masks=flipped)


slip(
    head_profile,
    "shared_between_keys",
    "the attention is divided by the number of keys. To all keys of the mask together: the sum.",
    (".sum(-1)  # [batch, head, q]", ".sum(-1) / mask[:, None].sum(-1).clamp_min(1)"),
)


slip(
    head_profile,
    "best_key_only",
    "only the key with the most attention counts. To all keys of the mask together: the sum.",
    ("(pattern * mask[:, None]).sum(-1)", "(pattern * mask[:, None]).amax(-1)"),
)


slip(
    head_profile,
    "medians",
    "these are medians over the queries. The mean is asked for.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].median(0).values",
    ),
)


slip(
    head_profile,
    "first_sequence",
    "only the first sequence was asked. Average over all queries of the batch.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[:1][asked[:1]].mean(0)",
    ),
)


slip(
    head_profile,
    "of_attention_off_bos",
    "the attention was divided by what does not rest on BOS. Here a head that rests is not "
    "helped: take the attention as it is.",
    (
        "on_target = (pattern * mask[:, None]).sum(-1)",
        "on_target = (pattern * mask[:, None]).sum(-1) / pattern[..., 1:].sum(-1).clamp_min(1e-9)",
    ),
)


slip(
    head_profile,
    "share_of_queries",
    "this is the share of queries whose strongest key is marked. The score is how much "
    "attention goes there.",
    (
        "on_target = (pattern * mask[:, None]).sum(-1)",
        "on_target = mask[:, None].expand_as(pattern).gather(-1, pattern.argmax(-1, "
        "keepdim=True)).squeeze(-1).float()",
    ),
)


slip(
    head_profile,
    "by_the_batch",
    "the sum was divided by the number of sequences. Divide by the number of queries that "
    "were asked.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].sum(0) / len(mask)",
    ),
)


slip(
    head_profile,
    "last_query_only",
    "only the last query was read. Average over all that have a marked key.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "profile[behaviour][hook.layer()] = on_target[:, :, -1].mean(0)",
    ),
)


slip(
    head_profile,
    "worst_query",
    "you took the query that looks there least. Average over all that were asked.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].amin(0)",
    ),
)


slip(
    head_profile,
    "root_mean_square",
    "this is the root of the mean square. Take the mean.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].pow(2).mean(0).sqrt()",
    ),
)


slip(
    head_profile,
    "above_an_even_look",
    "what an even look at all earlier keys would give was taken away. The score is the "
    "attention as it is.",
    (
        "profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)",
        "even = torch.ones(mask.shape[1:]).tril()\n"
        "            even = (even / even.sum(-1, keepdim=True) * mask).sum(-1)[asked].mean()\n"
        "            profile[behaviour][hook.layer()] = on_target.transpose(1,"
        " 2)[asked].mean(0) - even",
    ),
)


slip(
    head_profile,
    "counted_where_it_looks_most",
    "the queries that look there with more than half were counted. The score is the mean "
    "attention itself.",
    (
        "(pattern * mask[:, None]).sum(-1)",
        "((pattern > 0.5).float() * mask[:, None]).sum(-1)",
    ),
)


slip(
    head_profile,
    "behaviours_without_a_query",
    "behaviours that no query could show are still there. Leave them out: `mask.any()`.",
    (
        " if mask.any()}",
        "}",
    ),
)
