"""Exercise `effective_number`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

effective_number = Exercise(
    "effective_number",
    difficulty=2,
    importance=3,
    minutes=8,
    hints=[
        "Work out by hand what the formula gives for the costs (1, 0, 0), (1, 1, 1) and (3, 1, 0).",
        "Over which axis does the sum go? There is one number per head, so over the jobs, axis 0.",
        "clamp_min(0) first. A head without any cost would divide 0 by 0: torch.where puts 0 "
        "there.",
    ],
)


@effective_number.cases
def _number_cases() -> Iterator[Case]:
    yield Case("a head that matters for one job of three",
               torch.tensor([[0.0], [2.0], [0.0]]))  # fmt: skip
    yield Case("a head that matters equally for three jobs",
               torch.tensor([[0.5], [0.5], [0.5]]))  # fmt: skip
    yield Case("a head that matters for nothing, beside one with costs 3 and 1",
               torch.tensor([[0.0, 3.0], [0.0, 1.0]]))  # fmt: skip
    yield Case("a head whose absence helps one job",
               torch.tensor([[2.0], [-1.0], [1.0]]))  # fmt: skip
    yield Case("a head that matters little, for one job alone",
               torch.tensor([[0.001, 2.0], [0.0, 0.002]]))  # fmt: skip
    for seed, (jobs, heads) in enumerate(((3, 5), (8, 2), (4, 7))):
        yield Case("random costs", normal(jobs, heads, seed=seed))


def _number(costs: Tensor) -> Tensor:
    numbers = []
    for column in costs.T.tolist():
        harm = [max(cost, 0.0) for cost in column]
        squares = math.fsum(h * h for h in harm)
        numbers.append(math.fsum(harm) ** 2 / squares if squares else 0.0)
    return torch.tensor(numbers)


@effective_number.oracle
def _number_oracle(costs: Tensor) -> Tensor:
    return _number(costs)


@effective_number.wrong(
    "you divided 0 by 0 for a head that costs nothing. Such a head carries 0 jobs."
)
def zero_by_zero(costs: Tensor) -> Tensor:
    harm = costs.clamp_min(0)
    return harm.sum(0) ** 2 / (harm**2).sum(0)


@effective_number.wrong(
    "costs below zero were counted as they are. Where a job goes better without the head, the head "
    "does not do that job: clamp them to 0."
)
def negative_costs_counted(costs: Tensor) -> Tensor:
    squares = (costs**2).sum(0)
    return torch.where(squares > 0, costs.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)


@effective_number.wrong(
    "costs below zero were counted by their size. Where a job goes better without the head, the "
    "head does not do that job: clamp them to 0."
)
def sizes_counted(costs: Tensor) -> Tensor:
    return _number(costs.abs())


@effective_number.wrong(
    "you summed over the heads, which tells how many heads carry each job. Sum over the jobs, axis "
    "0: one number per head."
)
def heads_per_job(costs: Tensor) -> Tensor:
    return _number(costs.T)


@effective_number.wrong(
    "you counted the jobs that cost anything. Then a trace of a cost counts like a whole job; the "
    "formula weighs them."
)
def counts_jobs(costs: Tensor) -> Tensor:
    return (costs > 0).sum(0).float()


@effective_number.wrong(
    "the fraction is upside down: the square of the sum is above, the sum of the squares below."
)
def upside_down(costs: Tensor) -> Tensor:
    number = _number(costs)
    return torch.where(number > 0, 1 / number.clamp_min(1e-30), 0.0)


@effective_number.wrong("the sum above is not squared. Without the square the answer has a unit.")
def sum_not_squared(costs: Tensor) -> Tensor:
    harm = costs.clamp_min(0)
    squares = (harm**2).sum(0)
    return torch.where(squares > 0, harm.sum(0) / squares.clamp_min(1e-30), 0.0)


slip(
    effective_number,
    "small_costs_are_none",
    "small costs were taken for none. However small, a head that matters for one job alone "
    "carries 1.",
    ("squares > 0", "squares > 1e-3"),
)


slip(
    effective_number,
    "exponential_of_entropy",
    "that is the exponential of an entropy, another measure of the same thing. Asked for is "
    "the square of the sum over the sum of squares.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "p = harm / harm.sum(0).clamp_min(1e-30)\n"
        "    return torch.where(squares > 0, torch.special.entr(p).sum(0).exp(), 0.0)",
    ),
)


slip(
    effective_number,
    "share_of_the_jobs",
    "the number was divided by the number of jobs. It runs from 1 to n.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "return torch.where(squares > 0, harm.sum(0) ** 2 / len(costs) / "
        "squares.clamp_min(1e-30), 0.0)",
    ),
)


slip(
    effective_number,
    "sum_over_the_largest",
    "that is the sum over the largest cost. Asked for is the square of the sum over the sum "
    "of squares.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "return torch.where(squares > 0, harm.sum(0) / harm.amax(0).clamp_min(1e-30), 0.0)",
    ),
)


slip(
    effective_number,
    "root_taken",
    "a root was taken of the fraction. (sum)^2 over the sum of squares is the number.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "return torch.where(squares > 0, (harm.sum(0) ** 2 / squares.clamp_min(1e-30)) ** 0.5, "
        "0.0)",
    ),
)


slip(
    effective_number,
    "idle_heads_carry_one",
    "a head without any cost carries 0 jobs, not 1.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 1.0)",
    ),
)


slip(
    effective_number,
    "negative_in_the_squares",
    "costs below zero still count among the squares. Clamp them to 0 in both sums.",
    ("squares = (harm**2).sum(0)", "squares = (costs**2).sum(0)"),
)


slip(
    effective_number,
    "negative_in_the_sum",
    "costs below zero still count in the sum above. Clamp them to 0 in both sums.",
    ("harm.sum(0) ** 2", "costs.sum(0) ** 2"),
)


slip(
    effective_number,
    "largest_cost_is_one",
    "the jobs that cost at least half as much as the dearest were counted. The formula "
    "weighs every cost.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "return torch.where(squares > 0, (harm >= harm.amax(0) / 2).sum(0).float(), 0.0)",
    ),
)


slip(
    effective_number,
    "softmax_of_costs",
    "a softmax was taken of the costs. Divide each by their sum: costs are weights as they are.",
    (
        "return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)",
        "return 1 / costs.softmax(0).pow(2).sum(0)",
    ),
)


slip(
    effective_number,
    "smallest_cost_taken_off",
    "each head's smallest cost was taken off. Costs below zero count as 0, the others as they are.",
    (
        "harm = costs.clamp_min(0)",
        "harm = costs - costs.amin(0, keepdim=True)",
    ),
)


slip(
    effective_number,
    "a_little_added_below",
    "a small number was added below, beside which small costs disappear. Ask for squares > 0 "
    "instead.",
    (
        "squares.clamp_min(1e-30)",
        "(squares + 1e-6)",
    ),
)
