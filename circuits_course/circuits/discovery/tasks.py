"""What a method is asked: clean prompts, corrupted ones, and the metric that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.ioi import ioi_batch
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.data.markov import MarkovAndRepeats, repeated_random_tokens
from circuits_course.errors import CourseError, UnknownName

InductionData = Literal["repeats", "chain", "chain against repeats"]
INDUCTION_DATA: tuple[InductionData, ...] = ("repeats", "chain", "chain against repeats")
SURE = 1.5  # logits by which the answer has to lead on a clean prompt


class DiscoveryTask(NamedTuple):
    """The arguments of every method after the model: `edge_effects(model, *task)`.

    clean, corrupted: tokens [batch, pos]; corrupted None stands for edges that carry nothing.
    metric: mean logit of what the model says on the clean prompt less that of the alternative.
    """

    clean: Int[Tensor, "batch pos"]
    corrupted: Int[Tensor, "batch pos"] | None
    metric: LogitDifference


@torch.no_grad()
def contrast(
    model: Any, clean: Int[Tensor, "row pos"], corrupted: Int[Tensor, "row pos"], count: int
) -> DiscoveryTask:
    """The first `count` rows on which a model's answers part, each read at one position.

    Of a row's positions where the clean prompt's answer leads by `SURE` logits and the corrupted
    prompt's answer is another, one is drawn. The metric is the first answer's logit less the
    other's. Raises CourseError where too few rows part.
    """
    says, other = model(clean), model(corrupted).argmax(-1)
    best = says.topk(2).values
    parts = (best[..., 0] - best[..., 1] >= SURE) & (says.argmax(-1) != other)  # [row, pos]
    draw = torch.rand(parts.shape, generator=torch.Generator().manual_seed(len(clean)))
    rows = parts.any(1).nonzero()[:count, 0]
    if len(rows) < count:
        raise CourseError(f"Only {len(rows)} of {len(clean)} prompts change the answer.")
    place = (draw * parts)[rows].argmax(-1)
    right, wrong = says.argmax(-1)[rows, place], other[rows, place]
    return DiscoveryTask(clean[rows], corrupted[rows], LogitDifference(right, wrong, place))


def induction_task(
    model: Any, data: InductionData = "repeats", count: int = 32, seed: int = 0, period: int = 20
) -> DiscoveryTask:
    """What induction-2l is trained on, one of its two kinds of data, and what it is held against.

    data: "repeats", BOS and a segment twice, against another first copy; "chain", a text of the
    Markov chain, against another one; "chain against repeats", the same text against a repeated
    segment. Raises UnknownName for another word.
    """
    if data not in INDUCTION_DATA:
        raise UnknownName("kind of data", data, INDUCTION_DATA)
    generator = torch.Generator().manual_seed(seed)
    rows, d_vocab = 8 * count, model.cfg.d_vocab
    if data == "repeats":
        clean, other = (repeated_random_tokens(rows, period, d_vocab, generator) for _ in range(2))
        corrupted = torch.cat([other[:, : 1 + period], clean[:, 1 + period :]], dim=1)
        return contrast(model, clean[:, :-1], corrupted[:, :-1], count)
    chain = MarkovAndRepeats(d_vocab).chain(rows, generator)[:, : 2 * period]
    if data == "chain":
        return contrast(model, chain, chain.roll(1, 0), count)
    repeats = repeated_random_tokens(rows, period, d_vocab, generator)
    return contrast(model, chain, repeats[:, : chain.shape[1]], count)


def ioi_task(
    model: Any,
    count: int = 32,
    seed: int = 0,
    templates: Sequence[int] | None = None,
    corruption: str = "ABC",
) -> DiscoveryTask:
    """IOI prompts against their corruption; the metric is the logit of IO less that of S."""
    batch = ioi_batch(model, count, seed=seed, templates=templates)
    return DiscoveryTask(batch.tokens, batch.corrupt(corruption, 100 + seed), batch.metric)
