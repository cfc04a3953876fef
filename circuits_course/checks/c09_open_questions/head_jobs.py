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
    over_all,
    profile_by_query,
    repeats,
    zeros,
)
from circuits_course.checks.inputs import matching_model, random_model
from circuits_course.checks.slips import slip

head_jobs = Exercise(
    "head_jobs",
    difficulty=3,
    importance=4,
    minutes=12,
    hints=[
        "Do one context and one head by hand first: two losses for each sequence, and the head's "
        "entry in the profile.",
        "loss_per_token=True gives [batch, pos - 1]; .mean(1) leaves one number for each sequence. "
        "scores[layer, index] is the head's own score.",
        "The hook gets z [batch, pos, head, d_head] and should return a copy in which "
        "z[:, :, index] is z[:, :, index].mean((0, 1)); the cost is without minus whole.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)

Head = tuple[int, int]
Jobs = dict[str, dict[Head, dict[str, Any]]]
Texts = dict[str, Tensor]


@head_jobs.cases
def _job_cases() -> Iterator[Case]:
    made = matching_model(
        ((("even", 0.0), ("duplicate", 12.0)), (("induction", 12.0), ("even", 0.0)))
    )
    texts = {"repeats": repeats(made), "fresh": _fresh_tokens(made)}
    yield Case("an induction head and an idle one, on repeats and afresh", made,
               [(1, 0), (1, 1)], texts)  # fmt: skip
    for seed, heads in enumerate(([(0, 3), (2, 1)], [(2, 1), (1, 2), (0, 0)])):
        yield Case(
            "heads of a random model",
            random_model(seed=seed),
            heads,
            {"few tokens": drawn(3, 8, seed), "many tokens": drawn(2, 12, seed + 5, 30)},
        )


def _fresh_tokens(model: Any) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    rows = [1 + torch.randperm(model.cfg.d_vocab - 1, generator=generator)[:16] for _ in range(2)]
    return torch.cat([torch.zeros(2, 1, dtype=torch.int64), torch.stack(rows)], dim=1)


def _next_loss(model: Any, tokens: Tensor) -> Tensor:
    """Mean next-token loss of each sequence."""
    log_probs = model(tokens)[:, :-1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, 1:, None])[..., 0].mean(1)


def _jobs(
    model: Any,
    heads: list[Head],
    texts: Texts,
    *,
    mean: Callable[[Tensor], Any] = over_all,
    gone: Callable[[Head], tuple[Head, ...]] = lambda head: (head,),
    cost: Callable[[Tensor, Tensor], Tensor] = lambda without, whole: without - whole,
) -> Jobs:
    jobs: Jobs = {}
    for context, tokens in texts.items():
        scores, whole = profile_by_query(model, tokens), _next_loss(model, tokens)
        jobs[context] = {}
        for layer, index in heads:
            with ablated(model, gone((layer, index)), mean):
                without = _next_loss(model, tokens)
            found: dict[str, Any] = {name: s[layer, index].item() for name, s in scores.items()}
            jobs[context][layer, index] = found | {"cost": cost(without, whole)}
    return jobs


def _edited(jobs: Jobs, edit: Callable[[str, Head, dict[str, Any]], dict[str, Any]]) -> Jobs:
    return {c: {h: edit(c, h, found) for h, found in row.items()} for c, row in jobs.items()}


@head_jobs.observe
def _job_numbers(output: Any, model: Any, heads: Any, texts: Any) -> Any:
    return {
        context: {
            (int(layer), int(index)): {
                name: torch.as_tensor(v).float() for name, v in found.items()
            }
            for (layer, index), found in row.items()
        }
        for context, row in output.items()
    }


@head_jobs.oracle
def _jobs_oracle(model: Any, heads: list[Head], texts: Texts) -> Any:
    return _job_numbers(_jobs(model, heads, texts), model, heads, texts)


@head_jobs.wrong(
    "the cost has its sign turned: what is lost without the head is the ablated loss minus the "
    "whole one."
)
def cost_negated(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    return _jobs(model, heads, texts, cost=lambda without, whole: whole - without)


@head_jobs.wrong(
    "the cost is one number for the whole context. Keep one for each sequence: without them nobody "
    "can say how far the mean may be off."
)
def cost_averaged(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    return _jobs(model, heads, texts, cost=lambda without, whole: (without - whole).mean())


@head_jobs.wrong(
    "you set z to zero. That also takes away what the head always writes, whatever it reads; "
    "replace z by its mean."
)
def zeroed(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    return _jobs(model, heads, texts, mean=zeros)


@head_jobs.wrong(
    "you kept a mean for every position. What is asked for is one mean, over all sequences and "
    "positions: a head that acts by position would otherwise look idle."
)
def mean_by_position(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    return _jobs(model, heads, texts, mean=by_position)


@head_jobs.wrong(
    "all heads of the layer were ablated. Replace the z of this head alone: z[:, :, index]."
)
def whole_layer(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    every = range(model.cfg.n_heads)
    return _jobs(model, heads, texts, gone=lambda head: tuple((head[0], h) for h in every))


@head_jobs.wrong(
    "all the heads of the list were ablated together. They are judged one at a time: each in a run "
    "of its own."
)
def all_together(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    return _jobs(model, heads, texts, gone=lambda head: tuple(heads))


@head_jobs.wrong(
    "that is the loss without the head. The cost is how much *more* it is than the loss of the "
    "whole model."
)
def loss_for_cost(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    return _jobs(model, heads, texts, cost=lambda without, whole: without)


@head_jobs.wrong(
    "every context has the numbers of the first one. Measure each on its own tokens; that is the "
    "whole question."
)
def first_context(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    first = next(iter(texts))
    return dict.fromkeys(texts, _jobs(model, heads, {first: texts[first]})[first])


@head_jobs.wrong(
    "the scores are those of the layer's strongest head. Read the one that was asked for: "
    "scores[layer, index]."
)
def strongest_in_layer(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    def edit(context: str, head: Head, found: dict[str, Any]) -> dict[str, Any]:
        scores = profile_by_query(model, texts[context])
        return found | {name: table[head[0]].max().item() for name, table in scores.items()}

    return _edited(_jobs(model, heads, texts), edit)


@head_jobs.wrong(
    "your answer has no costs. What a head looks at is half of the story; add what is lost without "
    'it, as "cost".'
)
def no_cost(model: Any, heads: list[Head], texts: Texts) -> Jobs:
    def edit(context: str, head: Head, found: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name != "cost"}

    return _edited(_jobs(model, heads, texts), edit)


slip(
    head_jobs,
    "losses_by_position",
    "the mean runs over the sequences and leaves one loss for each position. One for each "
    "sequence: axis 1.",
    ("loss.mean(1)", "loss.mean(0)"),
)


slip(
    head_jobs,
    "heads_pile_up",
    "the heads pile up: each stays away while the next ones are tried. Run each with a hook "
    "of its own.",
    ("jobs[context] = {}", "jobs[context], gone = {}, []"),
    (
        '[(utils.get_act_name("z", layer), flatten)])',
        'gone := [*gone, (utils.get_act_name("z", layer), flatten)])',
    ),
)


slip(
    head_jobs,
    "profile_of_the_first_context",
    "the scores are those of the first context. Take head_profile on each context's own tokens.",
    (
        "head_profile(model, tokens), losses",
        "head_profile(model, next(iter(texts.values()))), losses",
    ),
)


slip(
    head_jobs,
    "cost_as_a_ratio",
    "the losses were divided. The cost is a difference, in nats.",
    ('found | {"cost": without - whole}', 'found | {"cost": without / whole}'),
)


slip(
    head_jobs,
    "positions_added",
    "the losses of all positions were added up. Take each sequence's mean.",
    ("return loss.mean(1)", "return loss.sum(1)"),
)


slip(
    head_jobs,
    "last_position_only",
    "only the loss at the last position counts. Take the mean over all positions of a sequence.",
    ("return loss.mean(1)", "return loss[:, -1]"),
)


slip(
    head_jobs,
    "mean_by_sequence",
    "you kept a mean for every sequence. One mean, over all sequences and positions of the "
    "context.",
    (
        "z[:, :, index] = z[:, :, index].mean((0, 1))",
        "z[:, :, index] = z[:, :, index].mean(1, keepdim=True)",
    ),
)


slip(
    head_jobs,
    "one_number_for_z",
    "the mean runs over d_head as well, so that one number is left. Average over sequences "
    "and positions alone.",
    ("z[:, :, index] = z[:, :, index].mean((0, 1))", "z[:, :, index] = z[:, :, index].mean()"),
)


slip(
    head_jobs,
    "sizes_of_costs",
    "the signs of the costs are lost. A context may go better without the head.",
    ('found | {"cost": without - whole}', 'found | {"cost": (without - whole).abs()}'),
)


slip(
    head_jobs,
    "relative_cost",
    "the cost was divided by the whole loss. Keep nats.",
    ('found | {"cost": without - whole}', 'found | {"cost": (without - whole) / whole}'),
)


slip(
    head_jobs,
    "scores_of_the_next_layer",
    "the scores are those of another head: scores[layer, index], layer first.",
    ("scores[layer, index].item()", "scores[layer - 1, index].item()"),
)


slip(
    head_jobs,
    "median_loss",
    "the median loss of each sequence was taken: its mean is asked for.",
    ("return loss.mean(1)", "return loss.median(1).values"),
)


slip(
    head_jobs,
    "perplexities",
    "these are differences of perplexities. The cost is in nats: take the losses as they are.",
    ('found | {"cost": without - whole}', 'found | {"cost": without.exp() - whole.exp()}'),
)


slip(
    head_jobs,
    "scores_above_the_layers_mean",
    "the layer's mean was taken away from the scores. Give the head's own.",
    ("scores[layer, index].item()", "(scores[layer, index] - scores[layer].mean()).item()"),
)


slip(
    head_jobs,
    "first_position_spared",
    "the first position kept its own z. Replace it everywhere.",
    (
        "z[:, :, index] = z[:, :, index].mean((0, 1))",
        "z[:, 1:, index] = z[:, :, index].mean((0, 1))",
    ),
)
