"""Exercise `control_sets`."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import Any

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import Head
from circuits_course.checks.slips import slip

control_sets = Exercise(
    "control_sets",
    difficulty=3,
    importance=4,
    minutes=15,
    hints=[
        "Take one layer first. Which of its heads are free, that is, not under test? With two "
        "heads under test there, which pairs of free heads are there?",
        "itertools.combinations(free, count) lists a layer's groups of `count`, each once whatever "
        "the order. A set takes one group from each layer: product(*choices) lists all ways.",
        "For each layer: free = [(layer, h) for h in range(n_heads) if (layer, h) not in heads], "
        "then choices.append(combinations(free, layers.count(layer))). Each element of "
        "product(*choices) is a tuple of groups: flatten it to one list of pairs.",
    ],
)


@control_sets.cases
def _sets_cases() -> Iterator[Case]:
    yield Case("one head of eight, four sets", [(3, 0)], 8, 4, 0)
    yield Case("two heads of two layers, every set there is", [(1, 2), (4, 0)], 5, 16, 1)
    yield Case("three heads of one layer", [(2, 1), (2, 4), (2, 0)], 7, 4, 2)
    yield Case("two heads of one layer and one of another, 23 sets",
               [(7, 0), (7, 3), (1, 2)], 6, 23, 3)  # fmt: skip
    yield Case("as many sets as are usual, and the usual seed", [(0, 1), (2, 5)], 9)
    yield Case("a layer in which fewer sets exist than asked for", [(0, 1)], 4, 23, 4)


@control_sets.oracle
def _sets_oracle(heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0) -> str:
    return "fits"


@control_sets.observe
def _sets_observe(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str:
    return "fits"


def _as_sets(output: Any) -> list[list[Head]]:
    return [[(int(layer), int(head)) for layer, head in chosen] for chosen in output]


def _how_many_exist(heads: list[Head], n_heads: int) -> int:
    layers = [layer for layer, _ in heads]
    counts = [(n_heads - layers.count(la), layers.count(la)) for la in dict.fromkeys(layers)]
    return math.prod(math.comb(free, count) for free, count in counts)


@control_sets.prop
def is_a_list_of_sets(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    if len(output) and all(isinstance(item, int | float) for item in output[0]):
        return "you gave one set of heads; a list of sets is asked for"
    return None


@control_sets.prop
def layer_comes_first(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    layers, sets = sorted(layer for layer, _ in heads), _as_sets(output)
    if any(sorted(layer for layer, _ in chosen) != layers for chosen in sets) and all(
        sorted(second for _, second in chosen) == layers for chosen in sets
    ):
        return f"pairs are (layer, head), yours (head, layer): {sets[0]}"
    return None


@control_sets.prop
def keeps_the_layers(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    given = sorted(layer for layer, _ in heads)
    for chosen in _as_sets(output):
        layers = sorted(layer for layer, _ in chosen)
        if layers != given:
            return f"the layers of a set should be {given}, those of {chosen} are {layers}"
    return None


@control_sets.prop
def heads_exist(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    out = [pair for chosen in _as_sets(output) for pair in chosen if not 0 <= pair[1] < n_heads]
    return f"heads run from 0 to {n_heads - 1}; there is no {out[0]}" if out else None


@control_sets.prop
def none_under_test(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    both = [pair for chosen in _as_sets(output) for pair in chosen if pair in heads]
    return f"{both[0]} is one of the heads under test" if both else None


@control_sets.prop
def no_head_twice(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    bad = [chosen for chosen in _as_sets(output) if len(set(chosen)) < len(chosen)]
    return f"one of your sets, {bad[0]}, holds a head twice" if bad else None


@control_sets.prop
def sets_are_distinct(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    sets = [tuple(sorted(chosen)) for chosen in _as_sets(output)]
    twice = [list(chosen) for i, chosen in enumerate(sets) if chosen in sets[:i]]
    return f"the set {twice[0]} comes twice" if twice else None


@control_sets.prop
def enough_sets(
    output: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    wanted, got = min(n_sets, _how_many_exist(heads, n_heads)), len(output)
    return None if got == wanted else f"expected {wanted} sets, got {got}"


@control_sets.trial
def same_seed_same_sets(
    attempt: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    again = {str(_as_sets(attempt(list(heads), n_heads, n_sets, seed))) for _ in range(3)}
    return f"seed {seed} gave different sets when called again" if len(again) > 1 else None


@control_sets.trial
def other_seeds_other_sets(
    attempt: Any, heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> str | None:
    if _how_many_exist(heads, n_heads) <= n_sets:
        return None
    drawn = [_as_sets(attempt(list(heads), n_heads, n_sets, other)) for other in range(6)]
    different = {str(sorted(sorted(chosen) for chosen in sets)) for sets in drawn}
    return "six seeds all gave the same sets" if len(different) == 1 else None


def _free(heads: list[Head], n_heads: int, layer: int) -> list[Head]:
    return [(layer, h) for h in range(n_heads) if (layer, h) not in heads]


def _draw(heads: list[Head], n_heads: int, rng: random.Random) -> list[Head]:
    """One good set."""
    layers = Counter(layer for layer, _ in heads)
    return [
        pair
        for la, count in layers.items()
        for pair in rng.sample(_free(heads, n_heads, la), count)
    ]


def _distinct(heads: list[Head], n_heads: int, n_sets: int, rng: random.Random) -> list[list[Head]]:
    wanted = min(n_sets, _how_many_exist(heads, n_heads))
    found: dict[frozenset[Head], list[Head]] = {}
    while len(found) < wanted:
        chosen = _draw(heads, n_heads, rng)
        found[frozenset(chosen)] = chosen
    return list(found.values())


@control_sets.wrong(
    "you drew each set without looking at those drawn before, and one came twice. A set that "
    "counts twice is one control, not two."
)
def drawn_independently(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    rng = random.Random(seed)
    return [_draw(heads, n_heads, rng) for _ in range(n_sets)]


@control_sets.wrong(
    "you threw repeated sets away and are left with too few: go on drawing until there are "
    "enough, or list all sets first."
)
def repeats_thrown_away(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    drawn = drawn_independently(heads, n_heads, n_sets, seed)
    return list({frozenset(chosen): chosen for chosen in drawn}.values())


@control_sets.wrong(
    "the heads under test are drawn too: a control is another head. Draw from the heads of the "
    "layer that are not in `heads`."
)
def heads_under_test_drawn(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    rng, layers = random.Random(seed), Counter(layer for layer, _ in heads)
    every = [
        [pair for part in parts for pair in part]
        for parts in product(
            *(combinations([(la, h) for h in range(n_heads)], c) for la, c in layers.items())
        )
    ]
    return rng.sample(every, min(n_sets, len(every)))


@control_sets.wrong(
    "a set has one head of each layer. Where two heads under test share a layer, a set needs two "
    "there: otherwise it is a smaller knock-out."
)
def one_head_a_layer(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    return _distinct(list({la: (la, h) for la, h in heads}.values()), n_heads, n_sets,
                     random.Random(seed))  # fmt: skip


@control_sets.wrong(
    "you drew with replacement within a layer: one head comes twice in a set, which then knocks "
    "out fewer heads. combinations(free, count) takes each once."
)
def drawn_with_replacement(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    choices = [product(_free(heads, n_heads, la), repeat=c)
               for la, c in Counter(la for la, _ in heads).items()]  # fmt: skip
    every = [[pair for part in parts for pair in part] for parts in product(*choices)]
    repeated = [chosen for chosen in every if len(set(chosen)) < len(chosen)]
    random.Random(seed).shuffle(every)
    return [*repeated, *every][: min(n_sets, len(every))]


@control_sets.wrong(
    "the same heads in another order are the same set. permutations and product count orders; "
    "combinations does not."
)
def orders_counted(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    choices = [permutations(_free(heads, n_heads, la), c)
               for la, c in Counter(la for la, _ in heads).items()]  # fmt: skip
    every = [[pair for part in parts for pair in part] for parts in product(*choices)]
    every.sort(key=lambda chosen: sorted(chosen))
    return every[: min(n_sets, len(every))]


@control_sets.wrong("this is one set. Give a list of n_sets different ones.")
def one_set_only(heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0) -> list[Head]:
    return _draw(heads, n_heads, random.Random(seed))


@control_sets.wrong(
    "the draw does not depend on `seed`: hand it to the generator, so that another seed draws "
    "other sets."
)
def seed_ignored(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    return _distinct(heads, n_heads, n_sets, random.Random(0))


@control_sets.wrong(
    "the same call gives other sets each time: seed a generator with `seed` and draw from that one."
)
def never_seeded(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    return _distinct(heads, n_heads, n_sets, random.Random())


@control_sets.wrong(
    "the heads come from any layer. Layers differ in what a knock-out costs: as many heads of the "
    "same layers."
)
def any_layer(heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0) -> list[list[Head]]:
    rng = random.Random(seed)
    free = [(la, h) for la in range(9) for h in range(n_heads) if (la, h) not in heads]
    wanted = min(n_sets, _how_many_exist(heads, n_heads))
    return [rng.sample(free, len(heads)) for _ in range(wanted)]


slip(
    control_sets,
    "number_ignored",
    "`n_sets` is not heeded: the number of sets is written into the function.",
    ("order[:n_sets]", "order[:23]"),
)


@control_sets.wrong(
    "the heads of a set come from any of the layers under test. Each layer gives as many as "
    "`heads` has there: combinations of each layer by itself, then product."
)
def layers_mixed(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    free = [pair for la in sorted({la for la, _ in heads}) for pair in _free(heads, n_heads, la)]
    every = [list(chosen) for chosen in combinations(free, len(heads))]
    return random.Random(seed).sample(every, min(n_sets, len(every)))


@control_sets.wrong("the pairs are (head, layer): the layer comes first.")
def head_before_layer(
    heads: list[Head], n_heads: int, n_sets: int = 23, seed: int = 0
) -> list[list[Head]]:
    sets = _distinct(heads, n_heads, n_sets, random.Random(seed))
    return [[pair[::-1] for pair in chosen] for chosen in sets]
