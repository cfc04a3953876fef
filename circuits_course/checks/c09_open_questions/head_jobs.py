"""Exercise `head_jobs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.c09_open_questions.shared import (
    ablated,
    by_position,
    drawn,
    nothing_of_cases,
    over_all,
    profile_of_cases,
    repeats,
)
from circuits_course.checks.inputs import matching_model, random_model

head_jobs = Exercise(
    "head_jobs",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Do one context by hand first: its profile, of which you need one head, and two losses.",
        "The profile is head_profile(model, tokens); scores[layer, index] is this head. The losses "
        'are model(tokens, return_type="loss") and the same with a hook on this head\'s z.',
        "The hook gets z [batch, pos, head, d_head] and should return a copy in which "
        "z[:, :, index] is z[:, :, index].mean((0, 1)); the cost is ablated minus whole.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)

Jobs = dict[str, dict[str, float]]


@head_jobs.cases
def _job_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    texts = {"repeats": repeats(made), "fresh": _fresh_tokens(made)}
    yield Case("an induction head on a repeated and on a fresh text", made, (1, 0), texts)
    yield Case("an idle head of the same model", made, (1, 1), texts)
    for seed, head in enumerate(((0, 3), (2, 1))):
        model = random_model(seed=seed)
        yield Case(
            f"head {head[0]}.{head[1]} of a random model",
            model,
            head,
            {"few tokens": drawn(3, 8, seed), "many tokens": drawn(2, 12, seed + 5, 30)},
        )


def _fresh_tokens(model: Any) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    rows = [1 + torch.randperm(model.cfg.d_vocab - 1, generator=generator)[:16] for _ in range(2)]
    return torch.cat([torch.zeros(2, 1, dtype=torch.int64), torch.stack(rows)], dim=1)


def _next_loss(model: Any, tokens: Tensor) -> float:
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, 1:, None]).mean().item()


def _jobs(
    model: Any,
    head: tuple[int, int],
    texts: dict[str, Tensor],
    *,
    mean: Callable[[Tensor], Any] = over_all,
    ablate: tuple[int, int] | None = None,
    read: tuple[int, int] | None = None,
) -> Jobs:
    jobs = {}
    for context, tokens in texts.items():
        layer, index = read or head
        scores = profile_of_cases(model, tokens)
        jobs[context] = {name: table[layer, index].item() for name, table in scores.items()}
        whole = _next_loss(model, tokens)
        with ablated(model, (ablate or head,), mean):
            jobs[context]["cost"] = _next_loss(model, tokens) - whole
    return jobs


@head_jobs.observe
def _job_numbers(output: Any, model: Any, head: Any, texts: Any) -> Jobs:
    return {
        context: {name: float(value) for name, value in jobs.items()}
        for context, jobs in output.items()
    }


@head_jobs.oracle
def _jobs_oracle(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    return _jobs(model, head, texts)


@head_jobs.wrong(
    "the cost has its sign turned: what is lost without the head is the ablated loss minus the "
    "whole one."
)
def cost_negated(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    return {c: {**found, "cost": -found["cost"]} for c, found in jobs.items()}


@head_jobs.wrong(
    "you set z to zero. That also takes away what the head always writes, whatever it reads; "
    "replace z by its mean."
)
def zeroed(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    return _jobs(model, head, texts, mean=nothing_of_cases)


@head_jobs.wrong(
    "you kept a mean for every position. What is asked for is one mean, over all sequences and "
    "positions: a head that acts by position would otherwise look idle."
)
def mean_by_position(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    return _jobs(model, head, texts, mean=by_position)


@head_jobs.wrong(
    "all heads of the layer were ablated. Replace the z of this head alone: z[:, :, index]."
)
def whole_layer(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    every = tuple((head[0], h) for h in range(model.cfg.n_heads))
    for context, tokens in texts.items():
        whole = _next_loss(model, tokens)
        with ablated(model, every, over_all):
            jobs[context]["cost"] = _next_loss(model, tokens) - whole
    return jobs


@head_jobs.wrong(
    "that is the loss without the head. The cost is how much *more* it is than the loss of the "
    "whole model."
)
def loss_for_cost(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    return {
        c: {**found, "cost": found["cost"] + _next_loss(model, texts[c])}
        for c, found in jobs.items()
    }


@head_jobs.wrong(
    "every context has the numbers of the first one. Measure each on its own tokens; that is the "
    "whole question."
)
def first_context(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    first = next(iter(texts))
    jobs = _jobs(model, head, {first: texts[first]})[first]
    return dict.fromkeys(texts, jobs)


@head_jobs.wrong(
    "the scores are those of the layer's strongest head. Read the one that was asked for: "
    "scores[layer, index]."
)
def strongest_in_layer(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    for context, tokens in texts.items():
        scores = profile_of_cases(model, tokens)
        jobs[context].update({name: table[head[0]].max().item() for name, table in scores.items()})
    return jobs


@head_jobs.wrong(
    "your answer has no costs. What a head looks at is half of the story; add what is lost without "
    'it, as "cost".'
)
def no_cost(model: Any, head: tuple[int, int], texts: dict[str, Tensor]) -> Jobs:
    jobs = _jobs(model, head, texts)
    return {c: {n: v for n, v in found.items() if n != "cost"} for c, found in jobs.items()}
