"""Exercise `patching_metric`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.compare import find_difference
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

patching_metric = Exercise(
    "patching_metric",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "One number for each of three runs first: the mean over prompts of logit(right) minus "
        "logit(wrong), read at the last position.",
        "Which straight line sends the corrupted run's number to 0 and the clean run's to 1?",
        "(patched - corrupted) / (clean - corrupted). For each prompt's own token: "
        "run[torch.arange(len(run)), -1, right].",
    ],
)


def _logits_with(*rows: tuple[float, float, float], before: float = 0.0) -> Tensor:
    """[batch, 2, 3]: the given logits at the last position, others before it."""
    last = torch.tensor(rows)[:, None]
    return torch.cat(
        [before + torch.zeros_like(last).index_fill(2, torch.tensor([1]), 7.0), last], 1
    )


@patching_metric.cases
def _metric_cases() -> Iterator[Case]:
    clean, corrupted = _logits_with((5.0, 1.0, 0.0)), _logits_with((1.0, 3.0, 0.0))
    halfway = _logits_with((3.0, 2.0, 0.0), before=2.0)
    yield Case("a run whose logit difference lies halfway", halfway, clean, corrupted)
    yield Case("the corrupted run itself", corrupted, clean, corrupted)
    beyond = _logits_with((0.0, 6.0, 9.0))
    yield Case("a run that is worse than the corrupted one", beyond, clean, corrupted)
    two_clean = _logits_with((9.0, 0.0, 1.0), (0.0, 1.5, 1.0))
    two_bad = _logits_with((0.0, 9.0, 1.0), (0.5, 1.0, 1.2))
    two = _logits_with((2.0, 1.0, 0.0), (0.0, 1.0, 1.9))
    yield Case(
        "two prompts with different answers, the second hardly corrupted", two, two_clean, two_bad
    )
    runs = 3 * normal(3, 3, 5, 9, seed=7)
    runs[1, :, -1, :3] += 4.0 * torch.eye(3)
    yield Case("random logits of three prompts, the answers to be found", *runs)
    yield Case("named answers that the clean run likes less", beyond, clean, corrupted,
               *torch.tensor([[1], [0]]))  # fmt: skip
    zeros, ones = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    yield Case("named answers, tokens 0 and 1 everywhere", two, two_clean, two_bad, zeros, ones)
    for seed, (batch, pos, d_vocab) in enumerate([(3, 4, 11), (5, 2, 7)]):
        runs = 3 * normal(3, batch, pos, d_vocab, seed=seed)
        right, wrong = torch.arange(batch) % 5, 5 + torch.arange(batch) % 2
        runs[1, range(batch), -1, right] += 6.0
        runs[0, range(batch), -1, right] += 15.0 * seed  # the second goes beyond the clean run
        yield Case("random logits, with the answers named", *runs, right, wrong)


@patching_metric.live_trial
def lets_gradients_through(
    attempt: Any, logits: Tensor, clean: Tensor, corrupted: Tensor, *answers: Any
) -> str | None:
    """Attribution patching takes the gradient of this metric."""
    value = attempt(logits, clean, corrupted, *answers)
    wanted = _metric_oracle(logits, clean, corrupted, *answers)
    if find_difference(wanted, value, patching_metric.tolerance):
        return None  # the value speaks first
    with torch.enable_grad():
        result = attempt(logits.requires_grad_(), clean, corrupted, *answers)
    if isinstance(result, Tensor) and result.requires_grad:
        return None
    return "no gradient goes through the result: it must be the tensor, without .item() or detach()"


def _difference(run: Tensor, right: Tensor, wrong: Tensor, position: int = -1) -> Tensor:
    rows = [x[position, r] - x[position, w] for x, r, w in zip(run, right, wrong, strict=True)]
    return torch.stack(rows)


def _answers(clean: Tensor, corrupted: Tensor, right: Any, wrong: Any) -> tuple[Tensor, Tensor]:
    right = clean[:, -1].argmax(-1) if right is None else right
    wrong = corrupted[:, -1].argmax(-1) if wrong is None else wrong
    return right, wrong


def _three(logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any, wrong: Any) -> Any:
    tokens = _answers(clean, corrupted, right, wrong)
    return [_difference(run, *tokens) for run in (logits, clean, corrupted)]


@patching_metric.oracle
def _metric_oracle(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    patched, high, low = (x.sum().item() for x in _three(logits, clean, corrupted, right, wrong))
    return (patched - low) / (high - low)


@patching_metric.wrong(
    "that is the logit difference itself. Put it on the scale on which the corrupted run is 0 and "
    "the clean run 1."
)
def not_normalised(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    return _three(logits, clean, corrupted, right, wrong)[0].mean()


@patching_metric.wrong(
    "the ends are exchanged: yours is 0 on the clean run and 1 on the corrupted one. Subtract the "
    "corrupted run's logit difference, and divide by clean minus corrupted."
)
def ends_exchanged(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return (patched - high) / (low - high)


@patching_metric.wrong(
    "you divided by the clean run's logit difference alone. The corrupted run does not score 0 "
    "then; subtract its logit difference above and below the line."
)
def corrupted_not_subtracted(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, _ = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return patched / high


@patching_metric.wrong(
    "the corrupted run is subtracted above the line and not below: the clean run does not score 1."
)
def divided_by_clean_alone(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return (patched - low) / high


@patching_metric.wrong(
    "you normalised each prompt and then took the mean. A prompt that the corruption hardly "
    "changes has next to nothing below the line and drowns all others: take means first."
)
def mean_of_ratios(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = _three(logits, clean, corrupted, right, wrong)
    return ((patched - low) / (high - low)).mean()


@patching_metric.wrong(
    "you averaged over all positions. The answer is read at the last position alone."
)
def all_positions(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    tokens = _answers(clean, corrupted, right, wrong)
    means = [
        torch.stack([_difference(run, *tokens, p) for p in range(run.shape[1])]).mean()
        for run in (logits, clean, corrupted)
    ]
    return (means[0] - means[2]) / (means[1] - means[2])


@patching_metric.wrong(
    "these are probabilities. Asked is the difference of logits; why it is the better measure is "
    "shown further down."
)
def probabilities(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    right, wrong = _answers(clean, corrupted, right, wrong)
    runs = [run.softmax(-1) for run in (logits, clean, corrupted)]
    return _metric_oracle(*runs, right, wrong)


@patching_metric.wrong(
    "you followed the logit of the right answer alone. A patch that raises every logit would look "
    "like a success: subtract the wrong answer's."
)
def right_answer_alone(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    right, _ = _answers(clean, corrupted, right, wrong)
    rows = torch.arange(len(right))
    patched, high, low = (run[rows, -1, right].mean() for run in (logits, clean, corrupted))
    return (patched - low) / (high - low)


@patching_metric.wrong(
    "you clipped the result to 0 and 1. Below 0 and above 1 are findings: patches that make things "
    "worse, or better than the clean run."
)
def clipped(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> Tensor:
    patched, high, low = (x.mean() for x in _three(logits, clean, corrupted, right, wrong))
    return ((patched - low) / (high - low)).clamp(0, 1)


@patching_metric.wrong(
    "every prompt was read with the first prompt's answers. `right` and `wrong` hold one token for "
    "each prompt: index rows and tokens together."
)
def first_answers_for_all(
    logits: Tensor, clean: Tensor, corrupted: Tensor, right: Any = None, wrong: Any = None
) -> float:
    right, wrong = _answers(clean, corrupted, right, wrong)
    return _metric_oracle(
        logits, clean, corrupted, right[:1].expand_as(right), wrong[:1].expand_as(wrong)
    )


slip(
    patching_metric,
    "start_not_taken_off",
    "the corrupted run should give 0: take its logit difference off above as well.",
    ("(logit_difference(logits) - low)", "logit_difference(logits)"),
)


slip(
    patching_metric,
    "answers_not_heeded",
    "`right` and `wrong` are not heeded where they are given.",
    ("if right is None else right", ""),
    ("if wrong is None else wrong", ""),
)


slip(
    patching_metric,
    "python_number",
    ".item() makes a number that no gradient can go through; attribution patching needs one. "
    "Return the tensor.",
    (
        "return (logit_difference(logits) - low) / (high - low)",
        "return ((logit_difference(logits) - low) / (high - low)).item()",
    ),
)


slip(
    patching_metric,
    "at_the_first_position",
    "the answers were read at the first position. They come after the last: run[rows, -1].",
    (
        "return (run[rows, -1, right] - run[rows, -1, wrong]).mean()",
        "return (run[rows, 0, right] - run[rows, 0, wrong]).mean()",
    ),
)


slip(
    patching_metric,
    "one_position_early",
    "the answers were read at the position before the last: run[rows, -1] is the last.",
    (
        "return (run[rows, -1, right] - run[rows, -1, wrong]).mean()",
        "return (run[rows, -2, right] - run[rows, -2, wrong]).mean()",
    ),
)


slip(
    patching_metric,
    "wrong_answer_alone",
    "you followed the logit of the wrong answer alone. Subtract it from the right one's.",
    (
        "return (run[rows, -1, right] - run[rows, -1, wrong]).mean()",
        "return -run[rows, -1, wrong].mean()",
    ),
)


slip(
    patching_metric,
    "above_the_patched_run",
    "the patched run stands below the line as well. The scale does not depend on it: divide "
    "by high - low.",
    (
        "return (logit_difference(logits) - low) / (high - low)",
        "return (logit_difference(logits) - low) / (high - logit_difference(logits))",
    ),
)


slip(
    patching_metric,
    "distance_from_clean",
    "this is the distance from the clean run as a share, without its sign. Beyond the clean "
    "run is a result: subtract the corrupted run and keep the sign.",
    (
        "return (logit_difference(logits) - low) / (high - low)",
        "return 1 - ((high - logit_difference(logits)) / (high - low)).abs()",
    ),
)


slip(
    patching_metric,
    "change_alone",
    "that is the change in logits. Divide by what lies between the two runs: high - low.",
    (
        "return (logit_difference(logits) - low) / (high - low)",
        "return logit_difference(logits) - low",
    ),
)


slip(
    patching_metric,
    "largest_logit_for_right",
    "the largest logit of each run stands where the right answer's should. Follow one token "
    "through all runs: run[rows, -1, right].",
    (
        "return (run[rows, -1, right] - run[rows, -1, wrong]).mean()",
        "return (run[:, -1].amax(-1) - run[rows, -1, wrong]).mean()",
    ),
)


slip(
    patching_metric,
    "against_the_mean_logit",
    "the right answer is held against the mean of all logits. Hold it against the wrong answer's.",
    (
        "return (run[rows, -1, right] - run[rows, -1, wrong]).mean()",
        "return (run[rows, -1, right] - run[:, -1].mean(-1)).mean()",
    ),
)


slip(
    patching_metric,
    "both_answers_from_the_clean_run",
    "both default answers are the clean run's: its first and its second. The wrong one is "
    "the *corrupted* run's top token.",
    ("corrupted[:, -1].argmax(-1) if wrong", "clean[:, -1].topk(2).indices[:, 1] if wrong"),
)


slip(
    patching_metric,
    "last_prompt_only",
    "only the last prompt was read. Take the mean over all prompts.",
    (
        "return (run[rows, -1, right] - run[rows, -1, wrong]).mean()",
        "return run[-1, -1, right[-1]] - run[-1, -1, wrong[-1]]",
    ),
)


slip(
    patching_metric,
    "range_without_a_sign",
    "the range from corrupted to clean was taken without its sign. Where the clean run lies "
    "below the corrupted one, the way leads down: high - low as it is.",
    (
        "/ (high - low)",
        "/ (high - low).abs()",
    ),
)


slip(
    patching_metric,
    "token_zero_for_none",
    "token 0 was taken for no token at all: ask `right is None`, not whether it is 0.",
    (
        "if right is None else right",
        "if right is None or not right.any() else right",
    ),
)
