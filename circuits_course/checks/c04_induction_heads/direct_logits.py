"""Exercise `direct_logits`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checks.inputs import normal, random_tokens
from circuits_course.checks.slips import slip

direct_logits = Exercise(
    "direct_logits",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "Follow one position on paper: z has d_head numbers. Which matrix turns them into what the "
        "head writes to the residual stream, and which one turns that into logits?",
        "Between the two the final norm divides the position by its scale, which has the axes "
        "[batch, pos, 1]. The result has the axes [batch, pos, d_vocab].",
        "logits = z @ W_O / scale @ W_U; Python goes from left to right. A loop over positions is "
        "as good.",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-3),
)

Args = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _inputs(batch: int, pos: int, d_head: int, d_model: int, d_vocab: int, seed: int) -> Args:
    scale = 0.5 + 3 * normal(batch, pos, 1, seed=seed + 2).abs()
    raises_all = normal(d_model, 1, seed=seed + 3)  # a part of W_U that is the same for all tokens
    return (
        normal(batch, pos, d_head, seed=seed),
        normal(d_head, d_model, seed=seed + 1),
        scale,
        normal(d_model, d_vocab, seed=seed + 4) + raises_all,
        random_tokens(batch, pos, d_vocab, seed=seed + 5),
    )


@direct_logits.cases
def _direct_cases() -> Iterator[Case]:
    z = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]])
    W_O = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    W_U = torch.tensor([[3.0, 0.0, 0.0, 1.0], [0.0, 4.0, 2.0, 0.0], [2.0, 2.0, 0.0, 4.0]])
    scale, targets = torch.tensor([[[1.0], [2.0], [4.0]]]), torch.tensor([[0, 1, 3]])
    yield Case("three positions, d_head 2, d_model 3 and four tokens", z, W_O, scale, W_U, targets)
    yield Case("random numbers", *_inputs(2, 5, 3, 7, 11, seed=0))
    yield Case("random numbers", *_inputs(4, 3, 6, 5, 9, seed=10))
    yield Case("a single sequence", *_inputs(1, 6, 4, 8, 13, seed=20))
    z, W_O, scale, W_U, targets = _inputs(3, 4, 2, 6, 10, seed=30)
    yield Case("a model without norm: scale 1", z, W_O, torch.ones(1, 1, 1), W_U, targets)
    yield Case("equal sizes on every axis", *_inputs(5, 5, 5, 5, 5, seed=40))


@direct_logits.oracle
def _direct_oracle(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    scale = scale.expand(*z.shape[:2], 1)
    out = torch.zeros(z.shape[:2])
    for b in range(z.shape[0]):
        for i in range(z.shape[1]):
            written = sum(float(z[b, i, d]) * W_O[d] for d in range(len(W_O))) / scale[b, i, 0]
            pushes = [float(written @ W_U[:, token]) for token in range(W_U.shape[1])]
            out[b, i] = pushes[int(targets[b, i])] - sum(pushes) / len(pushes)
    return out


def _logits(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor) -> Tensor:
    return z @ W_O / scale @ W_U


def _pick(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.gather(-1, targets[..., None])[..., 0]


@direct_logits.wrong(
    "the final norm is missing: divide what the head writes by `scale` before W_U."
)
def no_norm(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _direct_oracle(z, W_O, torch.ones_like(scale), W_U, targets)


@direct_logits.wrong("you multiplied by the scale; the norm divides by it.")
def multiplied(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _direct_oracle(z, W_O, 1 / scale, W_U, targets)


@direct_logits.wrong(
    "the mean over the vocabulary is still in it: part of W_U raises every token alike, and that "
    "changes no probability. Subtract logits.mean(-1)."
)
def not_centred(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _pick(_logits(z, W_O, scale, W_U), targets)


@direct_logits.wrong(
    "the mean you subtracted runs over positions. It should run over the vocabulary: how does this "
    "token do beside the others?"
)
def centred_over_positions(
    z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor
) -> Tensor:
    logits = _logits(z, W_O, scale, W_U)
    return _pick(logits - logits.mean(1, keepdim=True), targets)


@direct_logits.wrong(
    "each position got the target of the one before it. `targets` is already aligned: entry i is "
    "the token that position i's logits are asked about."
)
def target_before(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _direct_oracle(z, W_O, scale, W_U, targets.roll(1, dims=1))


@direct_logits.wrong(
    "you shifted the targets once more. `targets` is already aligned: entry i is the token that "
    "position i's logits are asked about."
)
def target_after(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _direct_oracle(z, W_O, scale, W_U, targets.roll(-1, dims=1))


@direct_logits.wrong(
    "this is a log-probability of what the head writes alone. The softmax belongs to the sum of "
    "all writes; attribution stays with logits, which add up."
)
def log_softmax(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _pick(_logits(z, W_O, scale, W_U).log_softmax(-1), targets)


@direct_logits.wrong("this is the largest push at each position: pick the target's.")
def largest(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    logits = _logits(z, W_O, scale, W_U)
    return logits.amax(-1) - logits.mean(-1)


@direct_logits.wrong("one scale was used for all positions: each position is divided by its own.")
def one_scale(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _direct_oracle(z, W_O, scale.mean().expand(1, 1, 1), W_U, targets)


@direct_logits.wrong(
    "what the head writes was normed by its own length. The norm acts on the whole residual "
    "stream, and its scale in the run is given: divide by that."
)
def normed_alone(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    own = (z @ W_O).pow(2).mean(-1, keepdim=True).sqrt()
    return _direct_oracle(z, W_O, own, W_U, targets)


@direct_logits.wrong("this is the mean over the sequences: keep one row for each.")
def mean_over_batch(z: Tensor, W_O: Tensor, scale: Tensor, W_U: Tensor, targets: Tensor) -> Tensor:
    return _direct_oracle(z, W_O, scale, W_U, targets).mean(0)


slip(
    direct_logits,
    "mean_over_positions",
    "the mean runs over positions. Take off the mean over the vocabulary, at each position "
    "by itself.",
    (
        "[..., 0] - logits.mean(-1)",
        "[..., 0] - logits.gather(-1, targets[..., None])[..., 0].mean(1, keepdim=True)",
    ),
)


slip(
    direct_logits,
    "largest_taken_off",
    "the largest logit is taken off. What changes no probability is the mean over the vocabulary.",
    ("logits.mean(-1)", "logits.amax(-1)"),
)


slip(
    direct_logits,
    "one_mean_for_all",
    "one mean is taken off everywhere, over positions and sequences too. Each position has "
    "its own mean over the vocabulary.",
    ("logits.mean(-1)", "logits.mean()"),
)


slip(
    direct_logits,
    "median_taken_off",
    "the median over the vocabulary was subtracted. It is the mean.",
    (
        "logits.mean(-1)",
        "logits.median(-1).values",
    ),
)


slip(
    direct_logits,
    "mean_over_positions_too",
    "the mean runs over the positions as well. Each position has its own.",
    (
        "logits.mean(-1)",
        "logits.mean((1, 2))[:, None]",
    ),
)


slip(
    direct_logits,
    "write_centred",
    "the mean of the write over d_model was taken off. It is the logits' mean over the "
    "vocabulary that goes.",
    (
        "logits = z @ W_O / scale @ W_U",
        "write = z @ W_O\n    logits = (write - write.mean(-1, keepdim=True)) / scale @ W_U",
    ),
)


slip(
    direct_logits,
    "mean_of_the_others",
    "the mean of the other tokens was subtracted. It is that of the whole vocabulary, the "
    "target's among them.",
    (
        "logits.mean(-1)",
        "(logits.sum(-1) - logits.gather(-1, targets[..., None])[..., 0]) / (logits.shape[-1] - 1)",
    ),
)
