"""Exercise `find_induction_heads`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c04_induction_heads.shared import (
    FIRST,
    SECOND,
    Heads,
    led,
    mean_attention,
    patterns_by_layer,
    second_copy,
    stepping_model,
)
from circuits_course.checks.inputs import matching_model, random_tokens
from circuits_course.checks.references import load_reference
from circuits_course.checks.slips import slip

find_induction_heads = Exercise(
    "find_induction_heads",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "You have all the parts: `repeated_tokens` makes the test, the cache holds the patterns, "
        '`induction_score` scores them. What are the axes of cache["pattern", layer]?',
        'induction_score(cache["pattern", layer], period) has the axes [batch, head]: average '
        "over the batch, and one number for each head is left.",
        "`lowest` keeps, for each head, the smallest score so far: min(score, lowest.get((layer, "
        "head), score)). At the end keep the heads whose lowest score is over the threshold.",
    ],
)


Periods = tuple[int, ...]
PERIODS = (50, 40, 30)


@find_induction_heads.cases
def _find_cases() -> Iterator[Case]:
    first, second = matching_model(FIRST), matching_model(SECOND)
    steps = stepping_model((49, 29, 24))
    yield Case("a model built with induction heads 3.2 and 0.2, a weak one in layer 1, and "
               "duplicate-token heads 0.1, 1.2 and 3.0", first)  # fmt: skip
    yield Case("a model whose heads 0.0, 0.1 and 0.2 look 49, 29 and 24 tokens back, whatever "
               "stands there, and whose head 0.3 does induction", steps)  # fmt: skip
    yield Case("the same model and a threshold of 0.2", steps, threshold=0.2)
    yield Case("the same model and other periods", steps, periods=(25, 45), batch=4, threshold=0.3)
    yield Case("the first model and a threshold of 0.75", first, threshold=0.75)
    yield Case("the first model and a low threshold", first, (50, 20), threshold=0.1, batch=12,
               seed=3)  # fmt: skip
    yield Case("a model of two layers, periods of 30 and 20", second, (30, 20), batch=6, seed=1)
    short = stepping_model((49, 29, 24), n_ctx=61)
    yield Case("a model whose context is too short for a period of 50", short)
    yield Case("a threshold that no head reaches", second, threshold=0.99, batch=2)


@find_induction_heads.live_trial
def heeds_periods_batch_and_seed(attempt: Any, model: Any, *rest: Any, **options: Any):
    """Looks on at what the model is run on."""
    if "threshold" not in options or model.cfg.n_layers > 1:
        return None
    seen: list[Tensor] = []
    watch = ("hook_embed", lambda embedded, hook: seen.append(embedded.clone()))
    with model.hooks(fwd_hooks=[watch]):
        attempt(model, periods=(7, 5), batch=3, seed=4)
        count = len(seen)
        attempt(model, periods=(7, 5), batch=3, seed=5)
    first, second = seen[:count], seen[count:]
    rows = {pos: sum(len(run) for run in first if run.shape[1] == pos) for pos in (15, 11)}
    if rows != {15: 3, 11: 3}:
        shapes = [list(run.shape[:2]) for run in first]
        return (
            "with periods=(7, 5) and batch=3 the model should be run on 3 sequences of 15 tokens "
            f"and 3 of 11; it was run on {shapes}"
        )
    if not all(torch.equal(run[:, 0], model.W_E[:1].expand_as(run[:, 0])) for run in seen):
        return "every sequence should begin with BOS, token 0"
    if all(torch.equal(a, b) for a, b in zip(first, second, strict=False)):
        return "seed=4 and seed=5 gave the same sequences"
    return None


def _found_where(attempt: Any, model: Any, *perfect: Tensor) -> list[tuple[int, int]]:
    """The heads found where head 0.i does induction on the sequences `perfect[i]` of eight."""

    def perfect_on_some(pattern: Tensor, hook: Any) -> Tensor:
        period = pattern.shape[-1] // 2
        queries = torch.arange(1 + period, 1 + 2 * period)
        pattern[:, : len(perfect), queries] = 0.0
        for head, rows in enumerate(perfect):
            pattern[rows[:, None], head, queries, queries - period + 1] = 1.0
        return pattern

    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_pattern", perfect_on_some)]):
        return [(int(layer), int(head)) for layer, head in attempt(model, periods=(9,), batch=8)]


@find_induction_heads.live_trial
def takes_the_mean_over_sequences(attempt: Any, model: Any, *rest: Any, **options: Any):
    """With head 0.0 perfect on two sequences of eight."""
    if "threshold" not in options or model.cfg.n_layers > 1:
        return None
    if (0, 0) in _found_where(attempt, model, torch.tensor([1, 2])):
        return "a head that does induction on two sequences of eight, mean score 0.25, was found"
    return None


@find_induction_heads.live_trial
def finds_two_in_a_layer(attempt: Any, model: Any, *rest: Any, **options: Any):
    """With head 0.0 perfect on every sequence, and head 0.1 on six of eight."""
    if "threshold" not in options or model.cfg.n_layers > 1:
        return None
    if (0, 1) not in _found_where(attempt, model, torch.arange(8), torch.arange(6)):
        return "a head that does induction on six sequences of eight, mean 0.75, was not found"
    return None


@find_induction_heads.live_trial
def looks_past_the_first_sequence(attempt: Any, model: Any, *rest: Any, **options: Any):
    """With head 0.0 perfect on the first sequence of eight alone."""
    if "threshold" not in options or model.cfg.n_layers > 1:
        return None
    if (0, 0) in _found_where(attempt, model, torch.tensor([0])):
        return "a head that does induction on the first sequence of eight alone was found"
    return None


@find_induction_heads.oracle
def _find_oracle(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    ranked = _ranked(model, periods, threshold)
    return [head for head, _ in ranked]


def _ranked(
    model: Any,
    periods: Periods,
    threshold: float,
    shift: int = 1,
    repeated: bool = True,
    join: Callable[[list[float]], float] = min,
) -> list[tuple[tuple[int, int], float]]:
    """Heads and scores, strongest first, on the checker's own random tokens."""
    at_each = [_scores(model, _fitting(model, p), shift, repeated) for p in periods]
    scores = {head: join([at[head] for at in at_each]) for head in at_each[0]}
    over = [(head, score) for head, score in scores.items() if score > threshold]
    return sorted(over, key=lambda pair: -pair[1])


def _fitting(model: Any, period: int) -> int:
    return min(period, (model.cfg.n_ctx - 1) // 2)


@cache
def _scores(
    model: Any, period: int, shift: int = 1, repeated: bool = True
) -> dict[tuple[int, int], float]:
    """Mean attention of every head from the second copy to `shift` after the first occurrence."""
    copy, other = (random_tokens(8, period, model.cfg.d_vocab, seed) for seed in (11, 12))
    tokens = led(0, copy, copy if repeated else other)
    patterns = patterns_by_layer(model, tokens)
    return {
        (layer, head): mean_attention(
            patterns[layer][:, head], second_copy(period), lambda q: q - period + shift
        ).mean().item()
        for layer in range(model.cfg.n_layers)
        for head in range(model.cfg.n_heads)
    }  # fmt: skip


@find_induction_heads.wrong("the pairs are (head, layer): the layer comes first.")
def head_before_layer(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [(head, layer) for layer, head in _find_oracle(model, periods, batch, threshold, seed)]


@find_induction_heads.wrong("the weakest head comes first: sort with reverse=True.")
def weakest_first(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return _find_oracle(model, periods, batch, threshold, seed)[::-1]


@find_induction_heads.wrong("the heads stand in order of layer: sort them by their score.")
def in_order_of_layer(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return sorted(_find_oracle(model, periods, batch, threshold, seed))


@find_induction_heads.wrong("a threshold of 0.35 is written into the function: use the argument.")
def threshold_ignored(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return _find_oracle(model, periods, batch, 0.35, seed)


@find_induction_heads.wrong("these are the heads *below* the threshold: keep those above it.")
def below_the_threshold(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    ranked = _ranked(model, periods, -1.0)
    return [head for head, score in ranked if score < threshold]


@find_induction_heads.wrong(
    "these heads look at the earlier copy of the same token: duplicate-token heads. Score the "
    "token after it."
)
def duplicate_token_heads(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, periods, threshold, shift=0)]


@find_induction_heads.wrong(
    "nothing is repeated in your test sequences, so no head has anything to look back to."
)
def nothing_repeated(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, periods, threshold, repeated=False)]


@find_induction_heads.wrong("all heads are listed: keep those whose score is over the threshold.")
def every_head(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, periods, -1.0)]


@find_induction_heads.wrong("only one head came back: a model can have several.")
def strongest_only(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return _find_oracle(model, periods, batch, threshold, seed)[:1]


@find_induction_heads.wrong("the scores are still with them: return the pairs (layer, head) alone.")
def with_scores(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> list[tuple[int, int, float]]:
    return [(*head, score) for head, score in _ranked(model, periods, threshold)]


@find_induction_heads.wrong("the last layer is missing: layers run from 0 to n_layers - 1.")
def last_layer_missing(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    found = _find_oracle(model, periods, batch, threshold, seed)
    return [head for head in found if head[0] < model.cfg.n_layers - 1]


@find_induction_heads.wrong(
    "the first period alone decides. A head that always looks 49 back, whatever stands there, "
    "passes at a period of 50: it must pass at every period."
)
def one_period(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, periods[:1], threshold)]


@find_induction_heads.wrong(
    "the last period alone decides: keep the smallest score of all periods, not the latest."
)
def last_period(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, periods[-1:], threshold)]


@find_induction_heads.wrong(
    "you took the largest score of all periods, so one lucky period is enough: take the smallest."
)
def best_period(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    return [head for head, _ in _ranked(model, periods, threshold, join=max)]


@find_induction_heads.wrong(
    "you averaged over the periods: a head that looks a fixed number of tokens back keeps a part "
    "of its score. The smallest score decides."
)
def mean_of_periods(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    def mean(scores: list[float]) -> float:
        return sum(scores) / len(scores)

    return [head for head, _ in _ranked(model, periods, threshold, join=mean)]


slip(
    find_induction_heads,
    "largest_over_sequences",
    "the largest score of any sequence counts; take the mean over the batch.",
    (".mean(0)\n", ".amax(0)\n"),
)


slip(
    find_induction_heads,
    "first_sequence_only",
    "only the first sequence counts: take the mean over the batch.",
    ('cache["pattern", layer], period).mean(0)', 'cache["pattern", layer], period)[0]'),
)


@find_induction_heads.wrong(
    "one head of each layer is listed. A layer may have several: compare every score with "
    "the threshold."
)
def best_of_each_layer(
    model: Any, periods: Periods = PERIODS, batch: int = 8, threshold: float = 0.35, seed: int = 0
) -> Heads:
    found = load_reference("04_induction_heads").find_induction_heads
    best: dict[int, tuple[int, int]] = {}
    for layer, head in found(model, periods, batch, threshold, seed):
        best.setdefault(layer, (layer, head))
    return list(best.values())


slip(
    find_induction_heads,
    "layers_from_one",
    "layers are counted from 1: they run from 0 to n_layers - 1.",
    (
        "lowest[layer, head] = min(score, lowest.get((layer, head), score))",
        "lowest[layer + 1, head] = min(score, lowest.get((layer + 1, head), score))",
    ),
)


slip(
    find_induction_heads,
    "mean_over_periods",
    "the scores were averaged over the periods. A head has to be over the threshold at every "
    "one: take the least.",
    (
        "min(score, lowest.get((layer, head), score))",
        "lowest.get((layer, head), 0.0) + score / len(periods)",
    ),
)


slip(
    find_induction_heads,
    "last_period_counts",
    "the score at the last period counts alone. Keep the least of all.",
    (
        "min(score, lowest.get((layer, head), score))",
        "score",
    ),
)


slip(
    find_induction_heads,
    "best_period_counts",
    "the largest score counts. A head has to do it at every period: take the least.",
    (
        "min(score, lowest.get((layer, head), score))",
        "max(score, lowest.get((layer, head), score))",
    ),
)
