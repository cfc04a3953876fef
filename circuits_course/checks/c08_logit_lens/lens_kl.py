"""Exercise `lens_kl`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

lens_kl = Exercise(
    "lens_kl",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Take log_softmax over the vocabulary, the last axis; the last state gives log p.",
        "KL(p || q) = sum over tokens of p (log p - log q): weigh with the final distribution.",
        "p is log_p.exp(). Sum over the vocabulary alone; states and positions stay.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)


@lens_kl.cases
def _kl_cases() -> Iterator[Case]:
    even, sure = torch.zeros(4), torch.tensor([10.0, 0, 0, 0])
    yield Case("an even guess among four, and a final answer that is sure: log 4 nats",
               torch.stack([even, sure]))  # fmt: skip
    yield Case("a sure state and a final even guess", torch.stack([2 * sure / 5, even]))
    for seed in range(3):
        yield Case("random logits", 2 * normal(4, 5 + seed, 7 - seed, seed=seed))
    yield Case("logits in the hundreds, two axes of places", 150 * normal(3, 2, 5, 8, seed=9))


@lens_kl.oracle
def _kl_oracle(logits: Tensor) -> Tensor:
    log_q = logits.double().log_softmax(-1)
    log_p = log_q[-1].expand_as(log_q)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1).float()


@lens_kl.wrong(
    "the two are exchanged: that is KL(state || final). Weigh with the *final* distribution."
)
def exchanged(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (log_q - log_q[-1])).sum(-1)


@lens_kl.wrong("that is in bits; nats come from the natural logarithm.")
def bits(logits: Tensor) -> Tensor:
    return _kl_oracle(logits) / math.log(2)


@lens_kl.wrong("that is the mean over the vocabulary; the divergence is the sum.")
def mean_over_vocabulary(logits: Tensor) -> Tensor:
    return _kl_oracle(logits) / logits.shape[-1]


@lens_kl.wrong(
    "that is the cross-entropy. Subtract the final distribution's own entropy, so that the last "
    "state is 0 away from itself."
)
def cross_entropy(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    return -(log_q[-1].exp() * log_q).sum(-1)


@lens_kl.wrong("the sign is turned round: log p minus log q, not the other way.")
def negative(logits: Tensor) -> Tensor:
    return -_kl_oracle(logits)


@lens_kl.wrong(
    "logits stand in the place of log-probabilities. Use log_softmax over the vocabulary first."
)
def logits_for_log_probs(logits: Tensor) -> Tensor:
    p = logits[-1].softmax(-1)
    return (p * (logits[-1] - logits)).sum(-1)


@lens_kl.wrong("the softmax runs along the states. It belongs on the vocabulary, the last axis.")
def softmax_over_states(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(0)
    return (log_q[-1].exp() * (log_q[-1] - log_q)).sum(-1)


@lens_kl.wrong("each state is compared with the next one. Compare all with the last.")
def with_the_next(logits: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    log_p = torch.cat([log_q[1:], log_q[-1:]])
    return (log_p.exp() * (log_p - log_q)).sum(-1)


slip(
    lens_kl,
    "logits_for_logarithms",
    "logits are not logarithms of probabilities yet: log_softmax first.",
    ("logits.log_softmax(-1)", "logits"),
)


slip(
    lens_kl,
    "places_averaged",
    "the places are averaged: one number for each state and place.",
    (".sum(-1)", ".sum(-1).reshape(len(logits), -1).mean(1)"),
)


slip(
    lens_kl,
    "both_ways",
    "this is the mean of both directions. The one asked for weighs with the final distribution.",
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2",
    ),
)


slip(
    lens_kl,
    "entropies_subtracted",
    "that is the difference of two entropies. Two distributions may be as sure of different "
    "tokens: weigh both logarithms with p.",
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "return (log_p.exp() * log_p).sum(-1) - (log_q.exp() * log_q).sum(-1)",
    ),
)


slip(
    lens_kl,
    "top_token_only",
    "only the final top token was counted. Sum over all tokens, each weighed by p.",
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "top = log_p.argmax(-1, keepdim=True)\n"
        "    return (log_p - log_q).gather(-1, top.expand(len(log_q), *top.shape)).squeeze(-1)",
    ),
)


slip(
    lens_kl,
    "against_the_first",
    "each state was compared with state 0. Compare with the last.",
    ("log_p = log_q[-1]", "log_p = log_q[0]"),
)


slip(
    lens_kl,
    "not_weighed",
    "the differences are not weighed by p. Without the weights a token that nobody expects "
    "counts as much as the answer.",
    ("return (log_p.exp() * (log_p - log_q)).sum(-1)", "return (log_p - log_q).sum(-1)"),
)


slip(
    lens_kl,
    "sizes_added",
    "the sizes of the differences were added. Keep their signs; the weighed sum is never negative.",
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "return (log_p.exp() * (log_p - log_q).abs()).sum(-1)",
    ),
)


slip(
    lens_kl,
    "distance_of_probabilities",
    "this is half the sum of differences of probabilities. A divergence compares logarithms: "
    "log p - log q, weighed by p.",
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "return (log_p.exp() - log_q.exp()).abs().sum(-1) / 2",
    ),
)


slip(
    lens_kl,
    "logarithm_of_a_softmax",
    "the logarithm of a softmax is infinite where a probability is rounded to 0: log_softmax "
    "does both at once.",
    ("logits.log_softmax(-1)", "logits.softmax(-1).log()"),
)


slip(
    lens_kl,
    "with_the_mean_state",
    "the states were compared with their mean distribution. Compare with the last: the final one.",
    ("log_p = log_q[-1]", "log_p = log_q.exp().mean(0).log()"),
)


slip(
    lens_kl,
    "rounded_by_a_library",
    "torch.distributions rounds probabilities to 0 before it takes logarithms, so the "
    "divergence is infinite where a state is sure of something else. Use log_softmax.",
    (
        "log_q = logits.log_softmax(-1)\n    log_p = log_q[-1]",
        "from torch.distributions import Categorical, kl_divergence",
    ),
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "final = Categorical(logits=logits[-1:].expand_as(logits))\n"
        "    return kl_divergence(final, Categorical(logits=logits))",
    ),
)


slip(
    lens_kl,
    "softer_logits",
    "the logits were divided by 2 before the softmax. Take them as they are.",
    ("logits.log_softmax(-1)", "(logits / 2).log_softmax(-1)"),
)


slip(
    lens_kl,
    "entropy_of_the_state",
    "that is the state's own entropy. Compare it with the final distribution.",
    ("return (log_p.exp() * (log_p - log_q)).sum(-1)", "return -(log_q.exp() * log_q).sum(-1)"),
)


slip(
    lens_kl,
    "through_the_middle",
    "the final distribution was compared with the mean of both. Compare it with the state's own.",
    (
        "return (log_p.exp() * (log_p - log_q)).sum(-1)",
        "middle = ((log_p.exp() + log_q.exp()) / 2).log()\n"
        "    return (log_p.exp() * (log_p - middle)).sum(-1)",
    ),
)


slip(
    lens_kl,
    "a_little_added",
    "a small number was added before the logarithm, which cuts off large divergences. Subtract "
    "log-probabilities: they need no such help.",
    (
        "(log_p.exp() * (log_p - log_q))",
        "(log_p.exp() * ((log_p.exp() + 1e-9) / (log_q.exp() + 1e-9)).log())",
    ),
)


slip(
    lens_kl,
    "next_state_for_the_final",
    "each state was held against the next one. All are held against the last.",
    (
        "log_p = log_q[-1]",
        "log_p = log_q.roll(-1, 0)",
    ),
)
