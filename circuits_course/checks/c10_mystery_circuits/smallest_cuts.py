"""Exercise `smallest_cuts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c10_mystery_circuits.shared import (
    ROUGH,
    TWO_LAYERS,
    WITH_BACKUP,
    all_but,
    every,
    incomplete,
    kl,
    model_and_prompts,
    run,
)
from circuits_course.checks.inputs import random_model, random_tokens
from circuits_course.checks.slips import slip
from circuits_course.circuits.heads import Head

Cuts = list[tuple[Head, ...]]

smallest_cuts = Exercise(
    "smallest_cuts",
    difficulty=3,
    importance=5,
    minutes=15,
    hints=[
        "Begin with sets of one head. Which of them lose at least `share`? Only where none does, "
        "go on to sets of two.",
        "itertools.combinations(heads, size) gives all sets of a size, in order. "
        "`ablation.logits(a_set)` takes them as they are.",
        "for size in range(1, len(heads) + 1): cuts = [the sets whose divergence from `logits` is "
        "at least share * nothing]; break as soon as there are any.",
    ],
    tolerance=ROUGH,
)


@smallest_cuts.cases
def _cut_cases() -> Iterator[Case]:
    yield Case("a head and its backup", *model_and_prompts(WITH_BACKUP), 0.5)
    yield Case("two heads of which each is needed", *model_and_prompts(TWO_LAYERS), 0.5)
    # Shares that no set of heads comes close to, so that nothing hangs on rounding.
    yield Case("a random model", random_model(2, 3), random_tokens(5, 8), 0.6)
    yield Case("a random model", random_model(2, 3, seed=4), random_tokens(4, 7, seed=2), 0.45)
    # Here no head alone is enough, and the losses of two add up to what only three together cost.
    pair = random_model(2, 3, seed=1), random_tokens(4, 7, seed=6)
    yield Case("a random model in which it takes three heads", *pair, 1.15)
    four = random_model(1, 4, seed=6), random_tokens(4, 6, seed=6)
    yield Case("a random model in which it takes all four heads", *four, 0.9)
    yield Case("a model of which all has to go", random_model(1, 2), random_tokens(3, 6), 1.0)
    yield Case(
        "a random model, by zeros", random_model(2, 3, seed=1), random_tokens(3, 9), 0.5, "zero"
    )


def _cuts(
    model: Any,
    share: float,
    loss: Callable[[tuple[Head, ...]], float],
    sizes: Callable[[int], range] = lambda n: range(1, n + 1),
) -> Cuts:
    heads = every(model)
    for size in sizes(len(heads)):
        cuts = [chosen for chosen in combinations(heads, size) if loss(chosen) >= share]
        if cuts:
            return cuts
    return []


def _lost(model: Any, tokens: Tensor, mode: str) -> Callable[[tuple[Head, ...]], float]:
    return lambda chosen: incomplete(model, tokens, [], chosen, mode)


@smallest_cuts.observe
def _as_sets(output: Any, model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Any:
    """Lists for tuples, and any order of sets and of the heads in them, will do."""
    return sorted(sorted([int(layer), int(head)] for layer, head in one) for one in output)


@smallest_cuts.oracle
def _cuts_oracle(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Any:
    found = _cuts(model, share, _lost(model, tokens, mode))
    return _as_sets(found, model, tokens, share, mode)


@smallest_cuts.wrong(
    "you tried single heads and stopped. Where heads stand in for each other no single one is "
    "enough: go on to sets of two, and of more, until some set is."
)
def singles_only(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    return _cuts(model, share, _lost(model, tokens, mode), lambda n: range(1, 2))


@smallest_cuts.wrong(
    "you went on to larger sets after some had been found. A set that contains a cut is a cut as "
    "well and says nothing new: stop at the first size."
)
def larger_ones_too(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    lost, heads = _lost(model, tokens, mode), every(model)
    sizes = range(1, len(heads) + 1)
    return [c for size in sizes for c in combinations(heads, size) if lost(c) >= share]


@smallest_cuts.wrong(
    "you returned one set alone. Others of the same size reach `share` as well, and that there is "
    "more than one is worth knowing."
)
def first_found(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    return _cuts(model, share, _lost(model, tokens, mode))[:1]


@smallest_cuts.wrong(
    "the sets are what was *left in place*: everything else was ablated. A cut is what is taken "
    "out of a model that is otherwise whole."
)
def sets_kept(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    lost = _lost(model, tokens, mode)
    return _cuts(model, share, lambda chosen: lost(tuple(all_but(model, chosen))))


@smallest_cuts.wrong(
    "the losses of single heads were added up. Heads that stand in for each other cost nothing "
    "alone; ablate the whole set in one run."
)
def losses_added(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    lost = _lost(model, tokens, mode)
    alone = {head: lost((head,)) for head in every(model)}
    return _cuts(model, share, lambda chosen: sum(alone[head] for head in chosen))


@smallest_cuts.wrong(
    "`share` was compared with nats. It is a share of the whole effect: multiply it by `nothing`, "
    "or divide the divergence."
)
def share_of_a_nat(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    logits = model(tokens)
    return _cuts(model, share, lambda chosen: float(kl(logits, run(model, tokens, chosen, mode))))


@smallest_cuts.wrong("the comparison is turned round: these sets lose *less* than `share`.")
def harmless_sets(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    lost = _lost(model, tokens, mode)
    return _cuts(model, -share, lambda chosen: -lost(chosen))


@smallest_cuts.wrong("`mode` is not used; the Ablation above has it already, ask that one.")
def cuts_always_mean(model: Any, tokens: Tensor, share: float, mode: str = "mean") -> Cuts:
    return _cuts(model, share, _lost(model, tokens, "mean"))


slip(
    smallest_cuts,
    "every_size",
    "it goes on to larger sets. The first size at which any set reaches the share is the answer.",
    ("            break", "            continue"),
)


slip(
    smallest_cuts,
    "every_order",
    "the same set comes in every order. A set has none: combinations, not permutations.",
    ("list(combinations(heads, size))", 'list(__import__("itertools").permutations(heads, size))'),
)


slip(
    smallest_cuts,
    "three_heads_at_most",
    "the search ends at three heads. It may take all of them: range(1, len(heads) + 1).",
    (
        "range(1, len(heads) + 1)",
        "range(1, 4)",
    ),
)
