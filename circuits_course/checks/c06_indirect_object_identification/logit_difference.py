"""Exercise `logit_difference`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

logit_difference = Exercise(
    "logit_difference",
    difficulty=1,
    importance=5,
    minutes=5,
    hints=[
        "What the model says next is in the logits of the last position: [batch, d_vocab].",
        "Every prompt has its own two names. Pair each row with its own token: "
        "at_end[rows, io] with rows = 0, 1, 2, ...",
        "return at_end[rows, io] - at_end[rows, s], one number for each prompt.",
    ],
)


@logit_difference.cases
def _difference_cases() -> Iterator[Case]:
    logits = torch.zeros(2, 3, 5)
    logits[0, -1, 1], logits[0, -1, 2], logits[1, -1, 3] = 4.0, 1.0, 2.0
    logits[:, 0, 2] = 7.0
    yield Case(
        "logits 4 for the IO and 1 for the subject, then 0 and 2",
        logits, torch.tensor([1, 2]), torch.tensor([2, 3]),
    )  # fmt: skip
    for seed, (batch, pos, d_vocab) in enumerate([(3, 4, 7), (5, 2, 11), (4, 1, 9)]):
        generator = torch.Generator().manual_seed(seed)
        names = torch.randint(0, d_vocab, (2, batch), generator=generator)
        names[1] = (names[0] + 1 + names[1] % (d_vocab - 1)) % d_vocab
        logits = 3 * normal(batch, pos, d_vocab, seed=seed)
        yield Case("random logits", logits, names[0], names[1])


@logit_difference.oracle
def _difference_oracle(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return torch.stack([row[-1][i] - row[-1][j] for row, i, j in zip(logits, io, s, strict=True)])


@logit_difference.wrong("the sign is turned: IO minus subject, so that a right answer is positive.")
def sign_turned(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return -_difference_oracle(logits, io, s)


@logit_difference.wrong(
    "you read the first position. A position's logits say what comes after it, so the answer is at "
    "the last one, END."
)
def first_position(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return _difference_oracle(logits[:, :1], io, s)


@logit_difference.wrong(
    "these are probabilities. The softmax divides by what all other tokens get; logits can be "
    "traced back to heads by addition, probabilities cannot."
)
def of_probabilities(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return _difference_oracle(logits.softmax(-1), io, s)


@logit_difference.wrong(
    "you averaged over the prompts. Return one number for each: the spread matters as much as the "
    "mean."
)
def averaged(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return _difference_oracle(logits, io, s).mean()


@logit_difference.wrong(
    "`at_end[:, io]` gives every prompt the names of all prompts, a [batch, batch] table. Pair "
    "them "
    "up: at_end[rows, io]."
)
def every_pairing(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return logits[:, -1][:, io] - logits[:, -1][:, s]


@logit_difference.wrong(
    "all prompts were given the names of the first one. io and s hold one token for each prompt."
)
def names_of_the_first(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return logits[:, -1, io[0]] - logits[:, -1, s[0]]


@logit_difference.wrong(
    "that is the IO's logit alone. It also rises when all names rise; the subject's logit has to "
    "be "
    "taken away."
)
def io_alone(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return logits[torch.arange(len(logits)), -1, io]


@logit_difference.wrong(
    "every position was read. Only the last one, END, is asked for the answer: one number a prompt."
)
def every_position(logits: Tensor, io: Tensor, s: Tensor) -> Tensor:
    return torch.stack([_difference_oracle(logits[:, : p + 1], io, s)
                        for p in range(logits.shape[1])], dim=1)  # fmt: skip


slip(
    logit_difference,
    "last_prompt",
    "logits[-1] is the last prompt. The last position of every prompt is logits[:, -1].",
    ("logits[:, -1]", "logits[-1]"),
)


slip(
    logit_difference,
    "position_before_the_last",
    "you read the position before the last. The answer comes after END, so read logits[:, -1].",
    ("logits[:, -1]", "logits[:, -2]"),
)


slip(
    logit_difference,
    "against_the_best_other",
    "the IO is held against the largest other logit. Hold it against the subject's alone: "
    "that is the other name in play.",
    (
        "return at_end[rows, io] - at_end[rows, s]",
        "rest = at_end.clone()\n"
        "    rest[rows, io] = -torch.inf\n"
        "    return at_end[rows, io] - rest.amax(-1)",
    ),
)


slip(
    logit_difference,
    "subject_alone",
    "that is the subject's logit alone, with its sign turned. Subtract it from the IO's.",
    ("return at_end[rows, io] - at_end[rows, s]", "return -at_end[rows, s]"),
)


slip(
    logit_difference,
    "ratio_of_the_two",
    "the two logits were divided. A logit has no zero of its own, so ratios of them say "
    "nothing: subtract.",
    ("return at_end[rows, io] - at_end[rows, s]", "return at_end[rows, io] / at_end[rows, s]"),
)


slip(
    logit_difference,
    "positions_averaged",
    "the difference was averaged over the positions. Only END, the last one, is asked for "
    "the answer.",
    ("logits[:, -1]", "logits.mean(1)"),
)


slip(
    logit_difference,
    "against_the_mean",
    "the IO is held against the mean of all logits. Hold it against the subject's.",
    ("return at_end[rows, io] - at_end[rows, s]", "return at_end[rows, io] - at_end.mean(-1)"),
)


slip(
    logit_difference,
    "logits_of_the_last_prompt",
    "every prompt was read in the last prompt's logits: logits[-1] picks a prompt. Positions "
    "are axis 1: logits[:, -1].",
    ("logits[:, -1]", "logits[-1:, -1].expand(len(logits), -1)"),
)


slip(
    logit_difference,
    "in_units_of_the_spread",
    "the difference was divided by the spread of the logits. Keep logits.",
    (
        "return at_end[rows, io] - at_end[rows, s]",
        "return (at_end[rows, io] - at_end[rows, s]) / at_end.std(-1)",
    ),
)
