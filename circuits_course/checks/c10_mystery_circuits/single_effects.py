"""Exercise `single_effects`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c10_mystery_circuits.shared import (
    ROUGH,
    TWO_LAYERS,
    all_but,
    every,
    kl,
    model_and_prompts,
    run,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import Head
from circuits_course.mystery.bench import all_heads

single_effects = Exercise(
    "single_effects",
    difficulty=2,
    importance=5,
    minutes=8,
    hints=[
        "Two loops, over layers and heads. `ablation.logits([(layer, head)])` runs the model with "
        "that one head ablated.",
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
    ],
    tolerance=ROUGH,
)


@single_effects.cases
def _effects_cases() -> Iterator[Case]:
    yield Case(
        "a model with a planted circuit of two heads", *model_and_prompts(TWO_LAYERS), "mean"
    )
    yield Case("a random model", random_model(3, 4), random_tokens(5, 8), "mean")
    yield Case("a random model, by zeros", random_model(2, 5, seed=1), random_tokens(3, 9), "zero")
    model = random_model(2, 3, seed=2)
    yield Case("a random model, by other prompts", model, random_tokens(4, 7), "resample")


def _each(model: Any, score: Callable[[Head], Tensor]) -> Tensor:
    cfg = model.cfg
    return torch.tensor(
        [[float(score((la, h))) for h in range(cfg.n_heads)] for la in range(cfg.n_layers)]
    )


@single_effects.oracle
def _effects_oracle(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)
    return _each(model, lambda head: kl(logits, run(model, tokens, [head], mode)))


@single_effects.wrong(
    "all *other* heads are ablated. That asks what a head can do alone; here one head goes and the "
    "rest stays."
)
def one_head_left(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)
    return _each(model, lambda head: kl(logits, run(model, tokens, all_but(model, [head]), mode)))


@single_effects.wrong("the axes are exchanged: [layer, head], rows are layers.")
def heads_as_rows(model: Any, tokens: Tensor, mode: str) -> Tensor:
    return _effects_oracle(model, tokens, mode).T.contiguous()


@single_effects.wrong(
    "the two predictions are exchanged: how far is the ablated run from the model's own? The "
    "model's own comes first."
)
def effects_exchanged(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)
    return _each(model, lambda head: kl(run(model, tokens, [head], mode), logits))


@single_effects.wrong("`mode` is not used; hand it to Ablation.")
def always_mean(model: Any, tokens: Tensor, mode: str) -> Tensor:
    return _effects_oracle(model, tokens, "mean")


@single_effects.wrong(
    "ablations pile up: each run has all heads before it ablated too. Ablate one head at a time."
)
def piling_up(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits, heads = model(tokens), every(model)
    return _each(
        model, lambda head: kl(logits, run(model, tokens, heads[: heads.index(head) + 1], mode))
    )


@single_effects.wrong("the whole layer is ablated at once; name the pair (layer, head).")
def whole_layers(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits = model(tokens)

    def score(head: Head) -> Tensor:
        layer = [other for other in every(model) if other[0] == head[0]]
        return kl(logits, run(model, tokens, layer, mode))

    return _each(model, score)


@single_effects.wrong("layer and head are exchanged in the pair: heads are (layer, head).")
def pair_exchanged(model: Any, tokens: Tensor, mode: str) -> Tensor:
    logits, known = model(tokens), all_heads(model)

    def score(head: Head) -> Tensor:
        turned = (head[1], head[0])
        return kl(logits, run(model, tokens, [turned] if turned in known else [], mode))

    return _each(model, score)


slip(
    single_effects,
    "resample_as_mean",
    '"resample" was treated as "mean": hand `mode` to Ablation as it is.',
    (
        "Ablation(model, tokens, mode)",
        'Ablation(model, tokens, "mean" if mode == "resample" else mode)',
    ),
)


slip(
    single_effects,
    "shares_of_nothing",
    "the effects were divided by that of all heads. Keep nats.",
    (
        "return effects",
        "every = [(la, h) for la in range(len(effects)) for h in range(len(effects[0]))]\n"
        "    return effects / divergence(logits, ablation.logits(every))",
    ),
)


slip(
    single_effects,
    "change_of_the_logits",
    "these are changes of logits. How far predictions move is the divergence, in nats.",
    (
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
        "effects[layer, head] = (logits - ablation.logits([(layer, head)])).abs().mean()",
    ),
)


slip(
    single_effects,
    "always_zero_ablation",
    "`mode` is not used: every head is set to zero. Hand it to Ablation.",
    ("Ablation(model, tokens, mode)", 'Ablation(model, tokens, "zero")'),
)


slip(
    single_effects,
    "from_this_head_on",
    "every head from this one on is ablated. Name one pair: [(layer, head)].",
    (
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
        "effects[layer, head] = divergence(logits, ablation.logits([(la, h) for la in "
        "range(layer, len(effects)) for h in range(len(effects[0])) if (la, h) >= (layer, "
        "head)]))",
    ),
)


slip(
    single_effects,
    "number_in_every_layer",
    "the head's number is ablated in every layer. Name one pair: [(layer, head)].",
    (
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
        "effects[layer, head] = divergence(logits, ablation.logits([(la, head) for la in "
        "range(len(effects))]))",
    ),
)


slip(
    single_effects,
    "logarithm_of_a_softmax",
    "the logarithm of a softmax is infinite where a probability is rounded to 0. Your "
    "`divergence` takes log_softmax: call it.",
    (
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
        "p, q = logits.softmax(-1), ablation.logits([(layer, head)]).softmax(-1)\n"
        "            effects[layer, head] = (p * (p.log() - q.log())).sum(-1).mean()",
    ),
)


slip(
    single_effects,
    "last_position_only",
    "only the last position was compared. Take all of them.",
    (
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
        "effects[layer, head] = divergence(logits[:, -1:], ablation.logits([(layer, head)])[:, "
        "-1:])",
    ),
)


slip(
    single_effects,
    "share_of_changed_answers",
    "this is the share of positions whose top symbol changes. How far predictions move is "
    "the divergence.",
    (
        "effects[layer, head] = divergence(logits, ablation.logits([(layer, head)]))",
        "effects[layer, head] = (logits.argmax(-1) != ablation.logits([(layer, "
        "head)]).argmax(-1)).float().mean()",
    ),
)


slip(
    single_effects,
    "heads_pile_up",
    "the heads before it in the layer are ablated as well. One head at a time.",
    (
        "ablation.logits([(layer, head)])",
        "ablation.logits([(layer, h) for h in range(head + 1)])",
    ),
)
