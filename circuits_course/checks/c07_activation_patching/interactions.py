"""Exercise `interactions`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c07_activation_patching.shared import (
    LOGITS,
    Metric,
    Reads,
    heads_oracle,
    in_order,
    pair,
    staged_run,
    whole_model,
)
from circuits_course.checks.inputs import random_model
from circuits_course.checks.slips import slip
from circuits_course.circuits.gates import gate_model

interactions = Exercise(
    "interactions",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "Two rounds: first change([one]) for the diagonal, then change([one, other]) for every "
        "pair.",
        "The surplus of a pair is what the two do together, less what each does alone: change of "
        "both - result[i, i] - result[j, j].",
        "for i, one in enumerate(heads): for j, other in enumerate(heads): if i < j: result[i, j] "
        "= change([one, other]) - result[i, i] - result[j, j], and result[j, i] likewise, after a "
        "loop that filled the diagonal.",
    ],
    tolerance=LOGITS,
)


def _interaction_inputs() -> Iterator[tuple[Any, ...]]:
    two = [(0, 0), (0, 1)]
    yield "an AND gate and its two heads", gate_model("and"), "11=", "00=", Reads(2, 1), two
    yield "an OR gate and its two heads", gate_model("or"), "11=", "00=", Reads(2, 1), two
    some = [(1, 0), (0, 2), (0, 1)]
    yield "two layers of three heads", random_model(2, 3, 1), *pair(2, 5, 0), Reads(3, 8), some
    some = [(2, 3), (0, 1), (1, 2), (0, 0)]
    yield "three layers", random_model(seed=4), *pair(3, 6, 1, first=2), Reads(11, 5), some
    some = [(0, 2), (1, 1)]
    yield "a model with MLPs and norms", whole_model(), *pair(2, 7, 2), Reads(4, 20), some


@interactions.cases
def _interaction_cases() -> Iterator[Case]:
    for what, *inputs in _interaction_inputs():
        yield Case(f"{what}, denoising", *inputs, "denoising")
        yield Case(f"{what}, noising", *inputs, "noising")
    some = random_model(2, 3, 6), *pair(2, 5, 4), Reads(7, 2), [(1, 2), (0, 0)]
    yield Case("another model, noising", *some, "noising")
    yield Case("the same, no mode given", *some)


def _changes(
    model: Any, clean: Any, corrupt: Any, metric: Metric, heads: Any, mode: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Changes by single heads [n], by pairs [n, n], and the metric of the unpatched run."""
    source, base = in_order(clean, corrupt, mode)
    start = metric(staged_run(model, base)[0])

    def change(patched: Any) -> float:
        return float(metric(heads_oracle(model, source, base, patched)) - start)

    single = torch.tensor([change([head]) for head in heads])
    pairs = torch.tensor([[change([one, other]) for other in heads] for one in heads])
    return single, pairs, start


def _surplus(single: Tensor, pairs: Tensor) -> Tensor:
    surplus = pairs - single[:, None] - single[None]
    return surplus.diagonal_scatter(single)


@interactions.oracle
def _interaction_oracle(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    single, pairs, _ = _changes(model, clean_prompt, corrupt_prompt, metric, heads, mode)
    return _surplus(single, pairs)


@interactions.wrong(
    "beside the diagonal stands what the pairs do together. Subtract the two single changes: the "
    "surplus is 0 where effects add up."
)
def pairs_not_reduced(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    return _changes(model, clean_prompt, corrupt_prompt, metric, heads, mode)[1]


@interactions.wrong(
    "one single change was subtracted from each pair's, and not both. What remains is what the "
    "second head adds, its own effect included."
)
def one_of_two_subtracted(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    single, pairs, _ = _changes(model, clean_prompt, corrupt_prompt, metric, heads, mode)
    return (pairs - single[:, None]).diagonal_scatter(single)


@interactions.wrong(
    "the signs are turned: the surplus is the pair's change minus the two single ones. It is "
    "positive where a pair does more than its parts."
)
def surplus_turned(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    single, pairs, _ = _changes(model, clean_prompt, corrupt_prompt, metric, heads, mode)
    return (-_surplus(single, pairs)).diagonal_scatter(single)


@interactions.wrong(
    "the diagonal is the pair formula with i = j: a head patched twice, minus itself twice. Put "
    "the single change there."
)
def diagonal_by_the_formula(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    whole = _interaction_oracle(model, clean_prompt, corrupt_prompt, metric, heads, mode)
    return whole.diagonal_scatter(-whole.diagonal())


@interactions.wrong(
    "the single changes were subtracted before the diagonal was filled, so pairs with a later head "
    "lack its part. Fill the whole diagonal first."
)
def diagonal_filled_too_late(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    single, pairs, _ = _changes(model, clean_prompt, corrupt_prompt, metric, heads, mode)
    result = torch.zeros_like(pairs)
    for i in range(len(single)):
        for j in range(len(single)):
            known = single[i] if i == j else result[i, i] + result[j, j]
            result[i, j] = known if i == j else pairs[i, j] - known
    return result


@interactions.wrong("the lower half is 0. The surplus of (i, j) is that of (j, i): fill both.")
def upper_half_only(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    return _interaction_oracle(model, clean_prompt, corrupt_prompt, metric, heads, mode).triu()


@interactions.wrong("`mode` is not used: both directions give the denoising result.")
def always_denoising(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    return _interaction_oracle(model, clean_prompt, corrupt_prompt, metric, heads)


@interactions.wrong(
    "the two directions are exchanged. Denoising runs the corrupted prompt and puts clean outputs "
    "in; noising runs the clean prompt and puts corrupted outputs in."
)
def directions_exchanged(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    return _interaction_oracle(model, corrupt_prompt, clean_prompt, metric, heads, mode)


@interactions.wrong(
    "you took the metric of each patched run as it is. Asked is the change: subtract the metric of "
    "the run without a patch, as `change` does."
)
def values_for_changes(
    model: Any, clean_prompt: Any, corrupt_prompt: Any, metric: Metric, heads: Any,
    mode: str = "denoising",
) -> Tensor:  # fmt: skip
    single, pairs, start = _changes(model, clean_prompt, corrupt_prompt, metric, heads, mode)
    return _surplus(single + start, pairs + start)


slip(
    interactions,
    "less_the_other_single",
    "one single change was subtracted from each pair's, the second head's, and not both.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = change([one, other]) - result[j, j]",
    ),
)


slip(
    interactions,
    "less_the_larger",
    "the larger of the two single changes was subtracted. Subtract both: the surplus is what "
    "the pair does beyond their sum.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = change([one, other]) - torch.maximum(result[i, i], result[j, j])",
    ),
)


slip(
    interactions,
    "less_their_mean",
    "the mean of the two single changes was subtracted. Subtract their sum.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = change([one, other]) - (result[i, i] + result[j, j]) / 2",
    ),
)


slip(
    interactions,
    "singles_added",
    "the single changes were added to the pair's. Subtract them.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = change([one, other]) + result[i, i] + result[j, j]",
    ),
)


slip(
    interactions,
    "sum_of_singles",
    "beside the diagonal stands the sum of two single changes, and no pair was patched in "
    "one run: change([one, other]).",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = result[i, i] + result[j, j]",
    ),
)


slip(
    interactions,
    "sizes_of_singles",
    "the sizes of the single changes were subtracted. Keep their signs.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = change([one, other]) - result[i, i].abs() - result[j, j].abs()",
    ),
)


slip(
    interactions,
    "always_noising",
    "`mode` is not used: both directions give the noising result.",
    ('if mode == "noising":', "if mode:"),
)


slip(
    interactions,
    "shares_of_the_sum",
    "the surplus was divided by the sum of the single changes. Keep the units of the metric: "
    "that sum may be 0.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = change([one, other]) / (result[i, i] + result[j, j]) - 1",
    ),
)


slip(
    interactions,
    "lower_half_only",
    "the upper half is 0. The surplus of (i, j) is that of (j, i): fill both.",
    ("result[j, i] = result[i, j]", "result[j, i], result[i, j] = result[i, j], torch.zeros(())"),
)


slip(
    interactions,
    "diagonal_left_out",
    "the diagonal is 0. Put what each head does alone there.",
    ("return result", "return result - result.diagonal().diag()"),
)


slip(
    interactions,
    "change_from_the_source",
    "changes are counted from the run that gives, not from the one that is patched: subtract "
    "metric(model(base)).",
    ("metric(model(base))", "metric(model(source))"),
)


slip(
    interactions,
    "surplus_halved",
    "the surplus was halved. Each entry holds the whole of it; that (i, j) and (j, i) are "
    "the same is no double count.",
    (
        "result[i, j] = change([one, other]) - result[i, i] - result[j, j]",
        "result[i, j] = (change([one, other]) - result[i, i] - result[j, j]) / 2",
    ),
)


slip(
    interactions,
    "losses_for_changes",
    "in noising the sign is turned, so that a loss is positive. A change is after minus "
    "before in both directions.",
    ("    return result", '    return -result if mode == "noising" else result'),
)


slip(
    interactions,
    "sizes_only",
    "the signs are lost. A surplus may be negative: the pair does less than its parts.",
    ("    return result", "    return result.abs()"),
)
