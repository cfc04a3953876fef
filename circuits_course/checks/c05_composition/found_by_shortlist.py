"""Exercise `found_by_shortlist`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

found_by_shortlist = Exercise(
    "found_by_shortlist",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "Two sets: the paths that matter (effect at least `least`), and the `size` paths with the "
        "highest scores. Which share of the first is in the second?",
        "scores.topk(size).indices names the shortlist; (effects >= least) is a mask of all paths.",
        "matters = effects >= least, then matters[shortlist].sum() / matters.sum(), and 1.0 where "
        "matters.sum() is 0.",
    ],
)


@found_by_shortlist.cases
def _shortlist_cases() -> Iterator[Case]:
    scores = torch.tensor([0.9, 0.1, 0.5, 0.7, 0.3])
    effects = torch.tensor([0.0, 2.0, 0.0, 1.0, -3.0])
    yield Case("two paths that matter, one of them with a high score", scores, effects, 3, 0.5)
    yield Case("a path that matters as much as `least` says", scores, effects, 2, 1.0)
    yield Case("a path that matters stands just below the list", scores, effects, 1, 0.5)
    yield Case("no path matters", scores, effects, 2, 5.0)
    for seed, (count, size) in enumerate([(31, 12), (47, 9)]):
        drawn = normal(2, count, seed=seed)
        yield Case("random scores and effects", drawn[0], drawn[1], size, 0.4)


@found_by_shortlist.oracle
def _shortlist_oracle(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    order = sorted(range(len(scores)), key=lambda path: -scores[path].item())
    matter = [path for path in order if effects[path].item() >= least]
    found = [path for path in order[:size] if path in matter]
    return len(found) / len(matter) if matter else 1.0


def _share(found: Tensor, of: int) -> float:
    return found.sum().item() / of if of else 1.0


@found_by_shortlist.wrong(
    "you divided by the length of the shortlist: that is which share of what you cut matters. "
    "Asked is which share of what matters you find; divide by the number of paths that matter."
)
def divided_by_the_shortlist(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    return (effects >= least)[scores.topk(size).indices].sum().item() / size


@found_by_shortlist.wrong("the shortlist holds the lowest scores; cut the highest ones first.")
def lowest_scores(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    matters = effects >= least
    return _share(matters[(-scores).topk(size).indices], int(matters.sum()))


@found_by_shortlist.wrong(
    "the shortlist was picked by effect. But the effects are what you want to be spared: pick by "
    "score."
)
def picked_by_effect(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    matters = effects >= least
    return _share(matters[effects.topk(size).indices], int(matters.sum()))


@found_by_shortlist.wrong(
    "you divided by the number of all paths. Divide by the number of those that matter."
)
def divided_by_all(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    return (effects >= least)[scores.topk(size).indices].sum().item() / len(scores)


@found_by_shortlist.wrong(
    "where no path matters your answer is 0 or not a number. There is nothing to miss then: 1.0."
)
def nothing_to_find(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    matters = effects >= least
    if not matters.any():
        return 0.0
    return _share(matters[scores.topk(size).indices], int(matters.sum()))


@found_by_shortlist.wrong(
    "a negative effect was counted as one that matters: cutting such a path *helps*. Compare the "
    "effect itself with `least`, not its size."
)
def size_of_the_effect(scores: Tensor, effects: Tensor, size: int, least: float) -> float:
    return _shortlist_oracle(scores, effects.abs(), size, least)


slip(
    found_by_shortlist,
    "only_above",
    "a path with an effect of exactly `least` matters too.",
    (">= least", "> least"),
)


slip(
    found_by_shortlist,
    "nothing_divided_by_nothing",
    "where no path matters you divided 0 by 0. The answer is then 1.0.",
    ("if not matters.any():\n        return 1.0", ""),
)


slip(
    found_by_shortlist,
    "counted_not_divided",
    "this is how many of them are found. Divide by the number of paths that matter.",
    ("(matters[shortlist].sum() / matters.sum()).item()", "float(matters[shortlist].sum())"),
)


slip(
    found_by_shortlist,
    "share_of_the_effect",
    "this is the share of the summed effect. Each path that matters counts one, whatever its size.",
    (
        "(matters[shortlist].sum() / matters.sum()).item()",
        "((effects * matters)[shortlist].sum() / (effects * matters).sum()).item()",
    ),
)


slip(
    found_by_shortlist,
    "first_paths",
    "these are the first `size` paths as they come. The shortlist holds those with the "
    "highest scores.",
    ("scores.topk(size).indices", "torch.arange(size)"),
)


slip(
    found_by_shortlist,
    "as_many_as_listed",
    "the `size` largest effects count as those that matter. What matters is decided by `least`.",
    (
        "matters = effects >= least",
        "matters = effects >= effects.topk(size).values[-1]",
    ),
)
