"""Exercise `path_importance`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c05_composition.shared import Path
from circuits_course.checks.inputs import normal, random_tokens
from circuits_course.checks.slips import slip

path_importance = Exercise(
    "path_importance",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "The logits are the sum of all paths. What are they when one path is left out?",
        "Take the path away from the sum (do not rebuild the sum: subtract), measure the loss, and "
        "subtract the loss of the whole.",
        "{path: loss(logits - added) - whole for path, added in paths.items()}",
    ],
)


@path_importance.cases
def _importance_cases() -> Iterator[Case]:
    tokens = torch.tensor([[0, 1, 1, 1]])
    useful, harmful = torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)
    useful[..., 1], harmful[..., 2] = 2.0, 1.0
    yield Case(
        "a path that helps and a virtual head that hurts",
        {(): useful, ((0, 0), (1, 0)): harmful}, tokens,
    )  # fmt: skip
    for seed, (batch, pos, vocab) in enumerate([(2, 5, 7), (3, 4, 9)]):
        names: list[Path] = [(), ((0, 1),), ((1, 0),), ((0, 1), (1, 0))]
        paths = {n: normal(batch, pos, vocab, seed=10 * seed + i) for i, n in enumerate(names)}
        yield Case("random paths", paths, random_tokens(batch, pos, vocab, seed=seed))


def _loss(logits: Tensor, tokens: Tensor) -> float:
    flat = logits[:, :-1].flatten(0, 1)
    return torch.nn.functional.cross_entropy(flat, tokens[:, 1:].flatten()).item()


@path_importance.oracle
def _importance_oracle(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    out, whole = {}, _loss(_whole(paths), tokens)
    for left_out in paths:
        rest = torch.stack([value for path, value in paths.items() if path != left_out]).sum(0)
        out[left_out] = _loss(rest, tokens) - whole
    return out


def _whole(paths: dict[Path, Tensor]) -> Tensor:
    return torch.stack(list(paths.values())).sum(0)


@path_importance.wrong(
    "the sign is turned: a path that helps should have a positive number, the loss without it less "
    "the loss with it."
)
def sign_turned(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    return {path: -rise for path, rise in _importance_oracle(paths, tokens).items()}


@path_importance.wrong("you kept the path and left out all others. Leave out one path at a time.")
def path_alone(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    whole = _loss(_whole(paths), tokens)
    return {path: _loss(value, tokens) - whole for path, value in paths.items()}


@path_importance.wrong(
    "that is the loss without the path. How much it *rises* is that, less the loss of the whole."
)
def loss_not_rise(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    return {path: _loss(_whole(paths) - value, tokens) for path, value in paths.items()}


@path_importance.wrong(
    "the loss is summed over tokens instead of averaged, so it grows with the length of the text."
)
def summed_loss(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    count = tokens[:, 1:].numel()
    return {path: count * rise for path, rise in _importance_oracle(paths, tokens).items()}


@path_importance.wrong(
    "the logits at a position were compared with the token that stands there. They predict the "
    "*next* one: logits[:, :-1] belong to tokens[:, 1:]."
)
def same_position(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    def loss(logits: Tensor) -> float:
        flat = logits[:, :-1].flatten(0, 1)
        return torch.nn.functional.cross_entropy(flat, tokens[:, :-1].flatten()).item()

    whole = loss(_whole(paths))
    return {path: loss(_whole(paths) - value) - whole for path, value in paths.items()}


@path_importance.wrong(
    "these are logits of the right tokens, not losses: take the log-softmax first."
)
def logits_not_losses(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    return {
        path: value[:, :-1].gather(-1, tokens[:, 1:, None]).mean().item()
        for path, value in paths.items()
    }


slip(
    path_importance,
    "one_after_the_other",
    "the paths are taken out one after the other. Take out one, measure, and put it back.",
    (
        "rises = {path: loss(logits - added) - whole for path, added in paths.items()}",
        "rises = {}\n    for path, added in paths.items():\n        logits = logits - "
        "added\n        rises[path] = loss(logits) - whole",
    ),
)


slip(
    path_importance,
    "added_once_more",
    "the path was added once more instead of being left out: subtract it.",
    ("loss(logits - added)", "loss(logits + added)"),
)


@path_importance.wrong(
    "longer paths through the same heads were left out with it. Each path is taken out by itself."
)
def with_all_that_pass(paths: dict[Path, Tensor], tokens: Tensor) -> dict[Path, float]:
    whole, rises = _whole(paths), {}
    for path in paths:
        passing = {other: x for other, x in paths.items() if set(path) <= set(other)}
        rises[path] = _loss(whole - _whole(passing), tokens) - _loss(whole, tokens)
    return rises


slip(
    path_importance,
    "targets_not_shifted",
    "each logit is compared with the token that stands there, not with the one that follows.",
    ("logits[:, :-1].log_softmax(-1)", "logits.log_softmax(-1)"),
    ("tokens[:, 1:, None]", "tokens[..., None]"),
)


slip(
    path_importance,
    "last_prediction_only",
    "only the last prediction counts: take the mean over all of them.",
    (
        "log_probs.gather(-1, tokens[:, 1:, None]).mean()",
        "log_probs.gather(-1, tokens[:, 1:, None])[:, -1].mean()",
    ),
)


slip(
    path_importance,
    "quotient_of_losses",
    "you divided the two losses. The rise is their difference, in nats.",
    ("loss(logits - added) - whole", "loss(logits - added) / whole"),
)


slip(
    path_importance,
    "probability_lost",
    "these are probabilities lost. The loss is the logarithm, in nats.",
    ("log_probs = logits[:, :-1].log_softmax(-1)", "log_probs = logits[:, :-1].softmax(-1)"),
)
