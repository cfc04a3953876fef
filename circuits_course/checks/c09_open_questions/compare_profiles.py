"""Exercise `compare_profiles`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c09_open_questions.shared import Profile
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip
from circuits_course.circuits.behaviours import Place

compare_profiles = Exercise(
    "compare_profiles",
    difficulty=2,
    importance=4,
    minutes=8,
    hints=[
        "scores.argmax() counts through the whole table as if it were one row. How do you get the "
        "layer back from that number?",
        "The layer is the index // n_heads. The first layer is at depth 0 and the last at depth 1.",
        "layer / (n_layers - 1), and a model with one layer must not divide by 0: "
        "max(n_layers - 1, 1). `shown` asks whether the largest score reaches at_least.",
    ],
)

Places = dict[str, dict[str, tuple[float, float]]]


def _only(n_layers: int, n_heads: int, layer: int, head: int, score: float = 0.9) -> Tensor:
    """All scores .1 except one."""
    scores = torch.full((n_layers, n_heads), 0.1)
    scores[layer, head] = score
    return scores


@compare_profiles.cases
def _compare_cases() -> Iterator[Case]:
    yield Case(
        "two models whose strongest heads are 1.0 of 4 layers and 6.2 of 9",
        {
            "small": {"induction": _only(4, 2, 1, 0)},
            "large": {"induction": _only(9, 4, 6, 2, 0.6)},
        },
        0.3,
    )
    yield Case("a model of one layer", {"flat": {"previous token": _only(1, 5, 0, 3)}}, 0.2)
    yield Case(
        "two models of which one lacks a behaviour",
        {
            "a": {"induction": _only(6, 3, 5, 2), "duplicate token": _only(6, 3, 0, 1)},
            "b": {"duplicate token": _only(4, 8, 3, 7)},
        },
        0.5,
    )
    yield Case(
        "two models of which one shows a behaviour too weakly",
        {
            "a": {"induction": _only(6, 3, 4, 1), "duplicate token": _only(6, 3, 2, 1, 0.15)},
            "b": {"induction": _only(3, 2, 1, 1, 0.25), "duplicate token": _only(3, 2, 2, 0, 0.16)},
        },
        0.3,
    )
    yield Case(
        "a head whose score is exactly what is asked for",
        {"m": {"induction": torch.tensor([[0.25, 0.0], [0.0, 0.5]])}},
        0.5,
    )
    yield Case(
        "a strong head in a weak layer",
        {"m": {"induction": torch.tensor([[0.5, 0.5, 0.5], [0.9, 0.0, 0.0], [0.4, 0.4, 0.4]])}},
        0.45,
    )
    for seed in range(3):
        shapes = {"first": (4 + seed, 3), "second": (7, 2 + seed)}
        yield Case(
            "random profiles",
            {
                model: {
                    name: normal(*shape, seed=10 * seed + i).abs()
                    for i, name in enumerate(("previous token", "induction"))
                }
                for model, shape in shapes.items()
            },
            1.0 + 0.4 * seed,
        )


@compare_profiles.observe
def _as_pairs(output: Any, profiles: dict[str, Profile], at_least: float) -> Places:
    return {
        behaviour: {model: (float(place[0]), float(place[1])) for model, place in places.items()}
        for behaviour, places in output.items()
    }


def _best(scores: Tensor) -> tuple[int, int, float]:
    """Layer, head and score of the strongest head, by looking at every one."""
    table = scores.tolist()
    score, layer, head = max(
        (score, -layer, -head) for layer, row in enumerate(table) for head, score in enumerate(row)
    )
    return -layer, -head, score


def _reaches(scores: Tensor, at_least: float) -> bool:
    return _best(scores)[2] >= at_least


def _right(scores: Tensor) -> tuple[float, float]:
    layer, _, score = _best(scores)
    return (layer / (len(scores) - 1) if len(scores) > 1 else 0.0), score


def _places(
    profiles: dict[str, Profile],
    at_least: float,
    place: Callable[[Tensor], tuple[float, float]] = _right,
    shown: Callable[[Tensor, float], bool] = _reaches,
) -> Places:
    found: Places = {}
    for model, profile in profiles.items():
        for behaviour, scores in profile.items():
            if shown(scores, at_least):
                found.setdefault(behaviour, {})[model] = Place(*place(scores))
    return found


@compare_profiles.oracle
def _compare_oracle(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least)


@compare_profiles.wrong(
    "you divided by the number of layers. Then no head reaches depth 1: the last layer is number "
    "n_layers - 1."
)
def over_all_layers(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, lambda s: (_best(s)[0] / len(s), _best(s)[2]))


@compare_profiles.wrong(
    "you counted layers from 1. The first layer is at depth 0 (here as everywhere, layers count "
    "from 0)."
)
def counted_from_one(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, lambda s: ((_best(s)[0] + 1) / len(s), _best(s)[2]))


@compare_profiles.wrong("that is the number of the layer. Relative depth runs from 0 to 1.")
def layer_number(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, lambda s: (float(_best(s)[0]), _best(s)[2]))


@compare_profiles.wrong(
    "you took the rest of the division, which is the head within its layer. The layer is the whole "
    "part: index // n_heads."
)
def head_for_layer(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, lambda s: (_best(s)[1] / max(len(s) - 1, 1), _best(s)[2]))


@compare_profiles.wrong(
    "you divided the index by the number of layers. A row of the table has n_heads entries, so the "
    "layer is index // n_heads."
)
def divided_by_layers(profiles: dict[str, Profile], at_least: float) -> Places:
    def place(s: Tensor) -> tuple[float, float]:
        return int(s.argmax()) // len(s) / max(len(s) - 1, 1), _best(s)[2]

    return _places(profiles, at_least, place)


@compare_profiles.wrong(
    "you took the layer whose heads score highest on average. Asked for is the layer of the one "
    "strongest head."
)
def strongest_layer(profiles: dict[str, Profile], at_least: float) -> Places:
    def place(s: Tensor) -> tuple[float, float]:
        return int(s.mean(1).argmax()) / max(len(s) - 1, 1), _best(s)[2]

    return _places(profiles, at_least, place)


@compare_profiles.wrong("the score is an average over all heads. Give the strongest head's own.")
def average_score(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, lambda s: (_right(s)[0], float(s.mean())))


@compare_profiles.wrong("depth and score are exchanged: Place(depth, score).")
def score_first(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, lambda s: _right(s)[::-1])


@compare_profiles.wrong(
    "the nesting is the other way round: {behaviour: {model: place}}, so that one line shows a "
    "behaviour in all models."
)
def by_model(profiles: dict[str, Profile], at_least: float) -> Places:
    turned: Places = {}
    for behaviour, places in _compare_oracle(profiles, at_least).items():
        for model, place in places.items():
            turned.setdefault(model, {})[behaviour] = place
    return turned


@compare_profiles.wrong(
    "models that hardly show a behaviour have a place too. The strongest of heads that all score "
    "next to nothing is drawn by lot: leave out what stays below at_least."
)
def everyone_shown(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, shown=lambda scores, limit: True)


@compare_profiles.wrong(
    "you held the mean of all scores against at_least. One strong head is enough: compare the "
    "largest score."
)
def mean_reaches(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, shown=lambda scores, limit: float(scores.mean()) >= limit)


@compare_profiles.wrong(
    "the comparison is turned round: you kept the models that stay *below* at_least."
)
def weak_ones_kept(profiles: dict[str, Profile], at_least: float) -> Places:
    return _places(profiles, at_least, shown=lambda scores, limit: not _reaches(scores, limit))


slip(
    compare_profiles,
    "one_layer_divides_by_zero",
    "a model of one layer makes n_layers - 1 zero. Its depth is 0.",
    ("max(n_layers - 1, 1)", "(n_layers - 1)"),
)


slip(
    compare_profiles,
    "rest_by_layers",
    "the rest of a division by the number of layers was taken. A row has n_heads entries, so "
    "the layer is index // n_heads.",
    ("layer = int(scores.argmax()) // n_heads", "layer = int(scores.argmax()) % n_layers"),
)


slip(
    compare_profiles,
    "strictly_above",
    "a score that is exactly `at_least` is enough: >=.",
    ("scores.max() >= at_least", "scores.max() > at_least"),
)


slip(
    compare_profiles,
    "first_that_reaches",
    "this is the first head that reaches at_least. Asked for is the strongest one.",
    (
        "layer = int(scores.argmax()) // n_heads",
        "reach = (scores >= at_least).flatten().nonzero()\n"
        "            layer = int(reach[0]) // n_heads if len(reach) else 0",
    ),
)


slip(
    compare_profiles,
    "mean_depth_of_all",
    "the depths of all heads that reach at_least were averaged. Asked for is the strongest one's.",
    (
        "depth = layer / max(n_layers - 1, 1)",
        "depth = float((scores >= at_least).nonzero()[:, 0].float().mean() / max(n_layers - 1, "
        "1)) if (scores >= at_least).any() else 0.0",
    ),
)


slip(
    compare_profiles,
    "by_heads",
    "the layer was divided by the number of heads. Relative depth is a share of the layers: "
    "n_layers - 1.",
    ("max(n_layers - 1, 1)", "max(n_heads - 1, 1)"),
)


slip(
    compare_profiles,
    "from_the_top",
    "depth was counted from the last layer. The first layer has depth 0, the last one 1.",
    ("depth = layer / max(n_layers - 1, 1)", "depth = 1 - layer / max(n_layers - 1, 1)"),
)


slip(
    compare_profiles,
    "weakest_head",
    "the weakest head was taken: argmax, not argmin.",
    ("layer = int(scores.argmax()) // n_heads", "layer = int(scores.argmin()) // n_heads"),
)


slip(
    compare_profiles,
    "size_of_scores",
    "scores were rounded. Give them as they are.",
    ("Place(depth, scores.max().item())", "Place(depth, round(scores.max().item(), 2))"),
)


slip(
    compare_profiles,
    "depth_has_to_reach",
    "the depth was held against at_least. It is the score that has to reach it.",
    ("scores.max() >= at_least", "depth >= at_least"),
)


slip(
    compare_profiles,
    "empty_behaviours_kept",
    "a behaviour without any place is still there, empty. Leave it out.",
    (
        "    return places",
        "    for profile in profiles.values():\n"
        "        for behaviour in profile:\n"
        "            places.setdefault(behaviour, {})\n"
        "    return places",
    ),
)


slip(
    compare_profiles,
    "best_model_only",
    "only the model with the highest score has a place. Give every model whose strongest "
    "head reaches at_least.",
    (
        "    return places",
        "    return {b: {max(found, key=lambda m: found[m].score): max(found.values(), "
        "key=lambda p: p.score)} for b, found in places.items()}",
    ),
)
