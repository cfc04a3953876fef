"""Exercise `divergence`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c10_mystery_circuits.shared import each_kl, kl
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

divergence = Exercise(
    "divergence",
    difficulty=1,
    importance=4,
    minutes=5,
    hints=[
        "KL(p, q) is the sum over the vocabulary of p * (log p - log q). You have both logarithms.",
        "p is log_p.exp(). Sum over the last axis: one number per position.",
    ],
)


@divergence.cases
def _divergence_cases() -> Iterator[Case]:
    logits = torch.tensor([[[0.75, 0.25]]]).log()
    yield Case("predictions of 3/4 and 1/4 against even ones", logits, torch.zeros(1, 1, 2))
    sure = torch.tensor([[[0.0, 300.0], [200.0, 0.0], [0.0, 1.0]]])
    yield Case("logits in the hundreds", sure, sure.flip(-1))
    for seed in range(3):
        shape = 2 + seed, 5, 7
        a, b = (2 * normal(*shape, seed=seed + s) for s in (0, 10))
        yield Case("random logits", a, b)
    yield Case(
        "a vocabulary of one thousand", 4 * normal(2, 3, 1000), 4 * normal(2, 3, 1000, seed=5)
    )


@divergence.oracle
def _divergence_oracle(logits: Tensor, other: Tensor) -> Tensor:
    return kl(logits, other)


@divergence.wrong(
    "the two are exchanged. The weights are the probabilities of the first, the model's own: what "
    "it is sure of must count."
)
def exchanged(logits: Tensor, other: Tensor) -> Tensor:
    return kl(other, logits)


@divergence.wrong("you summed over positions. Take the mean, so that batches can be compared.")
def summed(logits: Tensor, other: Tensor) -> Tensor:
    return kl(logits, other) * logits[..., 0].numel()


@divergence.wrong(
    "you took the mean over the vocabulary as well. Over the vocabulary it is a sum: the weights p "
    "make it a mean already."
)
def mean_over_vocabulary(logits: Tensor, other: Tensor) -> Tensor:
    return kl(logits, other) / logits.shape[-1]


@divergence.wrong("these are bits. log_softmax gives natural logarithms, so nats; do not divide.")
def in_bits(logits: Tensor, other: Tensor) -> Tensor:
    return kl(logits, other) / 0.6931472


@divergence.wrong(
    "the differences are not weighted by p. Without the weights a symbol that the model never says "
    "counts as much as the one it is sure of."
)
def unweighted(logits: Tensor, other: Tensor) -> Tensor:
    return (logits.log_softmax(-1) - other.log_softmax(-1)).sum(-1).mean()


@divergence.wrong(
    "that is the cross-entropy. It is not 0 for equal predictions: subtract the entropy of p, "
    "which is what log p in the formula does."
)
def cross_entropy(logits: Tensor, other: Tensor) -> Tensor:
    return -(logits.softmax(-1) * other.log_softmax(-1)).sum(-1).mean()


@divergence.wrong(
    "only the last position is compared. Which positions matter is not known yet: take them all."
)
def last_position(logits: Tensor, other: Tensor) -> Tensor:
    return kl(logits[:, -1], other[:, -1])


@divergence.wrong(
    "you compared logits, not their log-probabilities: adding 5 to all logits of a position "
    "changes no prediction and must give 0."
)
def raw_logits(logits: Tensor, other: Tensor) -> Tensor:
    return (logits.softmax(-1) * (logits - other)).sum(-1).mean()


@divergence.wrong("the mean over positions is missing; return one number.")
def not_averaged(logits: Tensor, other: Tensor) -> Tensor:
    return each_kl(logits, other)


slip(
    divergence,
    "both_ways",
    "this is the mean of both directions. The one asked for weighs with the first, the model's "
    "own.",
    ("per_position.mean()", "(per_position + (log_q.exp() * (log_q - log_p)).sum(-1)).mean() / 2"),
)


slip(
    divergence,
    "log_after_softmax",
    "the logarithm of a softmax is infinite where a probability is rounded to 0: log_softmax "
    "does both at once.",
    (
        "logits.log_softmax(-1), other.log_softmax(-1)",
        "logits.softmax(-1).log(), other.softmax(-1).log()",
    ),
)


slip(
    divergence,
    "squared_differences",
    "these are squared differences of log-probabilities. Weigh the plain difference by p and "
    "sum over the vocabulary.",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "per_position = (log_p - log_q).pow(2).mean(-1)",
    ),
)


slip(
    divergence,
    "mean_over_batch_alone",
    'you summed over the positions and took the mean over the batch (`reduction="batchmean"` '
    "does it). Take the mean over both.",
    ("return per_position.mean()", "return per_position.sum(1).mean()"),
)


slip(
    divergence,
    "softmax_over_positions",
    "the weights are a softmax over positions. Probabilities are over the vocabulary: log_p.exp().",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "per_position = (logits.softmax(1) * (log_p - log_q)).sum(-1)",
    ),
)


slip(
    divergence,
    "through_the_middle",
    "each prediction was compared with the mean of both. Compare p with q itself.",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "middle = ((log_p.exp() + log_q.exp()) / 2).log()\n"
        "    per_position = (log_p.exp() * (log_p - middle)).sum(-1)",
    ),
)


slip(
    divergence,
    "difference_of_probabilities",
    "this is half the sum of differences of probabilities. A divergence compares logarithms: "
    "log p - log q, weighed by p.",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "per_position = (log_p.exp() - log_q.exp()).abs().sum(-1) / 2",
    ),
)


slip(
    divergence,
    "top_symbol_only",
    "only the model's top symbol was counted. Sum over the vocabulary, weighed by p.",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "top = log_p.argmax(-1, keepdim=True)\n"
        "    per_position = (log_p - log_q).gather(-1, top)[..., 0]",
    ),
)


slip(
    divergence,
    "sizes_added",
    "the sizes of the differences were added. Keep their signs; the weighed sum is never negative.",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "per_position = (log_p.exp() * (log_p - log_q).abs()).sum(-1)",
    ),
)


slip(
    divergence,
    "entropies_subtracted",
    "that is the difference of two entropies. Two predictions may be as sure of different "
    "symbols: weigh both logarithms with p.",
    (
        "per_position = (log_p.exp() * (log_p - log_q)).sum(-1)",
        "per_position = (log_p.exp() * log_p).sum(-1) - (log_q.exp() * log_q).sum(-1)",
    ),
)


slip(
    divergence,
    "median_position",
    "that is a median over positions: take the mean.",
    ("return per_position.mean()", "return per_position.median()"),
)


slip(
    divergence,
    "largest_position",
    "that is the position that moves most: take the mean.",
    ("return per_position.mean()", "return per_position.max()"),
)


slip(
    divergence,
    "without_the_first_position",
    "position 0 was left out. Take the mean over all positions.",
    ("return per_position.mean()", "return per_position[:, 1:].mean()"),
)


slip(
    divergence,
    "rounded_by_a_library",
    "torch.distributions rounds probabilities to 0 before it takes logarithms, so the "
    "divergence is infinite where the model is sure. Use log_softmax of both, as above.",
    (
        "return per_position.mean()",
        "from torch.distributions import Categorical, kl_divergence\n"
        "    return kl_divergence(Categorical(logits=logits), Categorical(logits=other)).mean()",
    ),
)


slip(
    divergence,
    "softer_logits",
    "the logits were divided by 2 before the softmax. Take them as they are.",
    (
        "log_p, log_q = logits.log_softmax(-1), other.log_softmax(-1)",
        "log_p, log_q = (logits / 2).log_softmax(-1), (other / 2).log_softmax(-1)",
    ),
)
