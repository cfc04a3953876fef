"""Exercise `split_change`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import Tolerance
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

split_change = Exercise(
    "split_change",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "log_softmax over the vocabulary turns the last position's logits into log-probabilities. "
        "What does a patch change in them?",
        "change[rows, right] is the right answer's rise, one number for each prompt; the wrong "
        "answer's fall is minus its change.",
        "torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()]) with rows = "
        "torch.arange(len(before)).",
    ],
    tolerance=Tolerance(atol=1e-4, rtol=1e-4),
)


@split_change.cases
def _split_cases() -> Iterator[Case]:
    before = torch.zeros(1, 2, 3)
    after = before.clone()
    after[0, -1, 1] = -20.0
    yield Case("a damage to the wrong answer only", before, after, *torch.tensor([[0], [1]]))
    yield Case("every logit is raised by 5", before, before + 5.0, *torch.tensor([[0], [1]]))
    runs = 90 * normal(2, 3, 2, 6, seed=6)
    yield Case("logits in the hundreds", *runs, *torch.tensor([[1, 3, 0], [2, 0, 4]]))
    runs = 3 * normal(2, 4, 3, 9, seed=5)
    yield Case("tokens that are rows too", *runs, *torch.tensor([[1, 3, 0, 2], [2, 0, 1, 3]]))
    for seed, (batch, pos, d_vocab) in enumerate([(3, 4, 11), (5, 2, 7), (2, 6, 30)]):
        runs = 3 * normal(2, batch, pos, d_vocab, seed=seed)
        right, wrong = torch.arange(batch) % 5, 5 + torch.arange(batch) % 2
        yield Case("random logits", *runs, right, wrong)


def _log_probability(logits: Tensor, tokens: Tensor, position: int = -1) -> Tensor:
    chosen = [run[position, token] for run, token in zip(logits, tokens, strict=True)]
    return torch.stack(chosen) - logits[:, position].logsumexp(-1)


@split_change.oracle
def _split_oracle(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    up = (_log_probability(after, right) - _log_probability(before, right)).mean()
    down = (_log_probability(before, wrong) - _log_probability(after, wrong)).mean()
    return torch.stack([up, down])


@split_change.wrong(
    "these are changes of raw logits. A patch that raises every logit alike changes nothing that "
    "the model says, and yours calls it a rise: take log_softmax first."
)
def raw_logits(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    rows = torch.arange(len(before))
    change = (after - before)[:, -1]
    return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])


@split_change.wrong(
    "the second number has the wrong sign. It is how far the wrong answer *falls*: before minus "
    "after."
)
def wrong_answer_rises(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    return _split_oracle(before, after, right, wrong) * torch.tensor([1.0, -1.0])


@split_change.wrong("before and after are exchanged: a change is after minus before.")
def backwards_in_time(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    return _split_oracle(after, before, right, wrong)


@split_change.wrong(
    "these are probabilities. A negative head can take nothing from an answer whose probability is "
    "near 0; take their logarithms."
)
def plain_probabilities(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    rows = torch.arange(len(before))
    change = after[:, -1].softmax(-1) - before[:, -1].softmax(-1)
    return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])


@split_change.wrong("all positions were averaged. The answer is read at the last one.")
def everywhere(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    at = range(before.shape[1])
    up = [_log_probability(after, right, p) - _log_probability(before, right, p) for p in at]
    down = [_log_probability(before, wrong, p) - _log_probability(after, wrong, p) for p in at]
    return torch.stack([torch.stack(up).mean(), torch.stack(down).mean()])


@split_change.wrong(
    "the two parts are exchanged: the right answer's rise comes first, the wrong one's fall second."
)
def parts_exchanged(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    return _split_oracle(before, after, right, wrong).flip(0)


@split_change.wrong(
    "both parts are half of the change of the logit difference. Measure each: one may be nearly "
    "all of it."
)
def halves(before: Tensor, after: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    return _split_oracle(before, after, right, wrong).mean().expand(2)


slip(
    split_change,
    "shares_of_the_whole",
    "the parts were divided by their sum. Keep nats: the two add up to the change of the "
    "logit difference.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "parts = torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])\n"
        "    return parts / parts.sum()",
    ),
)


slip(
    split_change,
    "softmax_over_positions",
    "the softmax runs over positions. Probabilities are over the vocabulary: log_softmax(-1).",
    (
        "change = after[:, -1].log_softmax(-1) - before[:, -1].log_softmax(-1)",
        "change = after.log_softmax(1)[:, -1] - before.log_softmax(1)[:, -1]",
    ),
)


slip(
    split_change,
    "first_position",
    "you read the first position. The answer is read at the last one.",
    (
        "change = after[:, -1].log_softmax(-1) - before[:, -1].log_softmax(-1)",
        "change = after[:, 0].log_softmax(-1) - before[:, 0].log_softmax(-1)",
    ),
)


slip(
    split_change,
    "prompts_added",
    "the prompts were added up: take their mean.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([change[rows, right].sum(), -change[rows, wrong].sum()])",
    ),
)


slip(
    split_change,
    "answers_of_the_first",
    "every prompt was read with the first prompt's answers. `right` and `wrong` hold one "
    "token for each prompt.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([change[:, right[0]].mean(), -change[:, wrong[0]].mean()])",
    ),
)


slip(
    split_change,
    "every_pairing",
    "`change[:, right]` pairs every prompt with the answers of all. Pair them up: "
    "change[rows, right].",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([change[:, right].mean(), -change[:, wrong].mean()])",
    ),
)


slip(
    split_change,
    "whole_in_the_first_row",
    "the first part is the whole change of the logit difference. It is the right answer's "
    "rise alone.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([(change[rows, right] - change[rows, wrong]).mean(), -change[rows, "
        "wrong].mean()])",
    ),
)


slip(
    split_change,
    "in_bits",
    "these are bits. log_softmax gives natural logarithms, so nats; do not divide.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()]) / "
        "0.6931471805599453",
    ),
)


slip(
    split_change,
    "sizes_only",
    "the signs are lost. A part that harms is negative.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()]).abs()",
    ),
)


slip(
    split_change,
    "first_prompt_only",
    "only the first prompt was counted: take means over all of them.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "return torch.stack([change[0, right[0]], -change[0, wrong[0]]])",
    ),
)


slip(
    split_change,
    "mean_of_logits_first",
    "the logits were averaged over prompts before the softmax. Take log-probabilities of "
    "each prompt, then the mean.",
    (
        "change = after[:, -1].log_softmax(-1) - before[:, -1].log_softmax(-1)",
        "change = (after[:, -1].mean(0).log_softmax(-1) - before[:, "
        "-1].mean(0).log_softmax(-1)).expand(len(rows), -1)",
    ),
)


slip(
    split_change,
    "all_other_answers",
    "the second part counts the fall of all answers but the right one. It is that of `wrong` "
    "alone.",
    (
        "return torch.stack([change[rows, right].mean(), -change[rows, wrong].mean()])",
        "rest = [(1 - x[:, -1].softmax(-1)[rows, right]).log() for x in (before, after)]\n"
        "    return torch.stack([change[rows, right].mean(), (rest[0] - rest[1]).mean()])",
    ),
)


slip(
    split_change,
    "difference_before_the_softmax",
    "the softmax was taken of the difference of logits. Take log_softmax of each run, then "
    "subtract.",
    (
        "after[:, -1].log_softmax(-1) - before[:, -1].log_softmax(-1)",
        "(after[:, -1] - before[:, -1]).log_softmax(-1)",
    ),
)


slip(
    split_change,
    "right_of_every_prompt",
    "each prompt was read at the right answers of all: change[rows, right] pairs them.",
    (
        "change[rows, right].mean()",
        "change[:, right].mean()",
    ),
)
