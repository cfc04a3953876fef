"""Exercise `loss_per_token`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal, random_tokens
from circuits_course.checks.slips import slip

loss_per_token = Exercise(
    "loss_per_token",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "The logits at position 0 are the model's guess about the token at position 1. Which "
        "position's logits guess the last token? What do the logits of the last position guess?",
        "Softmax over the vocabulary, the last axis, turns logits into probabilities; log_softmax "
        "gives their logs at once. For each position pick the entry of the token that came.",
        "logits[:, :-1] meet tokens[:, 1:]. `gather(-1, target[..., None])` picks one entry per "
        "position; a loop over batch and position is as good.",
    ],
)


@loss_per_token.cases
def _loss_cases() -> Iterator[Case]:
    sure = torch.full((1, 3, 3), -20.0)
    sure[0, 0, 1] = sure[0, 1, 2] = sure[0, 2, 0] = 20.0  # says 1, then 2, then 0
    yield Case("a model that is sure, and right each time", sure, torch.tensor([[0, 1, 2]]))
    sure = torch.tensor([[[0.0, 300.0], [250.0, 0.0], [0.0, 0.0]]])
    yield Case("logits in the hundreds, and a model that is sure and wrong", sure,
               torch.tensor([[0, 0, 1]]))  # fmt: skip
    even = torch.zeros(2, 4, 5)
    yield Case("a model that has no idea (5 tokens)", even, random_tokens(2, 4, 5))
    yield Case("random logits", normal(2, 7, 11, seed=1) * 3, random_tokens(2, 7, 11, seed=1))
    yield Case("random logits", normal(5, 4, 9, seed=2), random_tokens(5, 4, 9, seed=2))
    yield Case("equal sizes on every axis", normal(6, 6, 6, seed=3), random_tokens(6, 6, 6, 3))


@loss_per_token.oracle
def _loss_oracle(logits: Tensor, tokens: Tensor) -> Tensor:
    batch, pos = tokens.shape
    loss = torch.zeros(batch, pos - 1)
    for b in range(batch):
        for i in range(pos - 1):
            top = float(logits[b, i].max())
            weights = [math.exp(x - top) for x in logits[b, i].tolist()]
            loss[b, i] = top + math.log(sum(weights)) - float(logits[b, i, int(tokens[b, i + 1])])
    return loss


def _pick(values: Tensor, tokens: Tensor) -> Tensor:
    return values.gather(-1, tokens[..., None])[..., 0]


@loss_per_token.wrong(
    "the logits of each position are compared with the token *at* that position, which the model "
    "has already seen. They are its guess about the next one."
)
def not_shifted(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits.log_softmax(-1), tokens)[:, :-1]


@loss_per_token.wrong(
    "the shift is the wrong way round: logits[:, :-1] guess tokens[:, 1:], the future, not the "
    "past."
)
def shifted_backwards(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits[:, 1:].log_softmax(-1), tokens[:, :-1])


@loss_per_token.wrong(
    "the last position is still there. Its guess is about a token that the sequence does not "
    "contain: drop it."
)
def last_position_kept(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits.log_softmax(-1), tokens.roll(-1, dims=1))


@loss_per_token.wrong("the sign is turned: loss is *minus* the log-probability, so it is positive.")
def log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_loss_oracle(logits, tokens)


@loss_per_token.wrong("these are probabilities: take minus the log of them.")
def probability(logits: Tensor, tokens: Tensor) -> Tensor:
    return (-_loss_oracle(logits, tokens)).exp()


@loss_per_token.wrong(
    "these are logits, not log-probabilities: without the softmax they are not compared with the "
    "other tokens' logits."
)
def no_softmax(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits[:, :-1], tokens[:, 1:])


@loss_per_token.wrong(
    "the softmax runs over positions. Probabilities sum to 1 over the vocabulary, the last axis."
)
def softmax_over_positions(logits: Tensor, tokens: Tensor) -> Tensor:
    return -_pick(logits[:, :-1].log_softmax(1), tokens[:, 1:])


@loss_per_token.wrong("this is the mean loss: keep one number for each predicted token.")
def mean_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return _loss_oracle(logits, tokens).mean()


@loss_per_token.wrong("this is the mean over the batch: keep one row for each sequence.")
def mean_over_batch(logits: Tensor, tokens: Tensor) -> Tensor:
    return _loss_oracle(logits, tokens).mean(0)


@loss_per_token.wrong(
    "these are bits: the natural logarithm gives nats, as the literature has them."
)
def in_bits(logits: Tensor, tokens: Tensor) -> Tensor:
    return _loss_oracle(logits, tokens) / math.log(2)


@loss_per_token.wrong(
    "this is the loss of the model's own favourite token. Pick the token that really came."
)
def loss_of_favourite(logits: Tensor, tokens: Tensor) -> Tensor:
    return -logits[:, :-1].log_softmax(-1).amax(-1)


slip(
    loss_per_token,
    "logits_moved",
    "the logits are moved instead of the tokens: the logits at position i are about token i + 1, "
    "so drop the last logits and the first token.",
    ("logits[:, :-1]", "logits[:, 1:]"),
)


slip(
    loss_per_token,
    "minus_probability",
    "this is minus the probability. The loss is minus its logarithm.",
    ("log_softmax", "softmax"),
)


slip(
    loss_per_token,
    "log_of_softmax",
    "the logarithm of a softmax is infinite where a probability is rounded to 0. `log_softmax` "
    "does both at once.",
    ("log_softmax(-1)", "softmax(-1).log()"),
)


slip(
    loss_per_token,
    "softmax_over_all_positions",
    "the softmax runs over positions, the last one included. Probabilities sum to 1 over the"
    " vocabulary, the last axis.",
    ("logits[:, :-1].log_softmax(-1)", "logits.log_softmax(1)[:, :-1]"),
)


slip(
    loss_per_token,
    "entropy_of_the_guess",
    "this is how unsure the model was on average, its entropy. Pick the token that really came.",
    (
        "return -log_probs.gather(-1, target[..., None])[..., 0]",
        "return -(log_probs.exp() * log_probs).sum(-1)",
    ),
)


slip(
    loss_per_token,
    "one_minus_probability",
    "that is 1 minus the probability. The loss is minus its logarithm.",
    (
        "-log_probs.gather(-1, target[..., None])[..., 0]",
        "1 - log_probs.gather(-1, target[..., None])[..., 0].exp()",
    ),
)


slip(
    loss_per_token,
    "a_little_added",
    "a small number was added to the probability before the logarithm, which cuts off large "
    "losses. log_softmax needs no such help.",
    (
        "logits[:, :-1].log_softmax(-1)",
        "(logits[:, :-1].softmax(-1) + 1e-9).log()",
    ),
)
