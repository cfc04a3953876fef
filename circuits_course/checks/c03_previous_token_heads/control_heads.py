"""Exercise `control_heads`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from circuits_course.checking import Exercise
from circuits_course.checking.attempt import Raised, run_attempt
from circuits_course.checking.declaring import Case
from circuits_course.checks.c03_previous_token_heads.shared import Head

control_heads = Exercise(
    "control_heads",
    difficulty=3,
    importance=3,
    minutes=12,
    hints=[
        "Go through the heads one at a time. For a head of layer 5, which heads of layer 5 are "
        "still "
        "free: neither given nor drawn before?",
        "Make the generator once, before the loop: torch.Generator().manual_seed(seed). A random "
        "place in a list of n is torch.randint(n, (), generator=generator).",
        "free = [h for h in range(n_heads) if (layer, h) not in heads and (layer, h) not in "
        "controls]; then append (layer, free[int(place)]).",
    ],
)


@control_heads.cases
def _control_cases() -> Iterator[Case]:
    yield Case("one head of eight", [(3, 0)], 8, 0)
    yield Case("four heads of different layers", [(1, 2), (4, 0), (2, 3), (0, 1)], 5, 1)
    yield Case("three heads of a layer that has six", [(2, 1), (2, 4), (2, 0)], 6, 2)
    yield Case("two heads of a layer that has four, and one of another",
               [(7, 0), (7, 3), (1, 2)], 4, 3)  # fmt: skip


@control_heads.oracle
def _control_oracle(heads: list[Head], n_heads: int, seed: int) -> str:
    return "fits"


@control_heads.observe
def _control_observe(output: Any, heads: list[Head], n_heads: int, seed: int) -> str:
    return "fits"


def _pairs(output: Any) -> list[Head]:
    return [(int(layer), int(head)) for layer, head in output]


@control_heads.prop
def has_one_for_each(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    count = len(_pairs(output))
    return None if count == len(heads) else f"expected {len(heads)} heads, got {count}"


@control_heads.prop
def keeps_the_layers(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    layers, given = (sorted(layer for layer, _ in pairs) for pairs in (_pairs(output), heads))
    return None if layers == given else f"the layers should be {given}, yours are {layers}"


@control_heads.prop
def exist(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    out = [pair for pair in _pairs(output) if not 0 <= pair[1] < n_heads]
    return f"heads run from 0 to {n_heads - 1}; there is no {out[0]}" if out else None


@control_heads.prop
def are_new(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    return "these are the heads you were given" if set(_pairs(output)) == set(heads) else None


@control_heads.prop
def are_others(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    both = [pair for pair in _pairs(output) if pair in heads]
    return f"{both[0]} is one of the heads to compare with" if both else None


@control_heads.prop
def come_once(output: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    pairs = _pairs(output)
    twice = [pair for i, pair in enumerate(pairs) if pair in pairs[:i]]
    return f"{twice[0]} comes twice" if twice else None


def _drawn(attempt: Any, heads: list[Head], n_heads: int, seeds: Any) -> list[list[Head]]:
    drawn = [run_attempt(attempt, (list(heads), n_heads, seed), {}) for seed in seeds]
    return [_pairs(output) for output in drawn if not isinstance(output, Raised)]


Rule = Callable[[Any, list[Head], int, int], "str | None"]


def _holds_for_every_seed(rule: Rule) -> None:
    """Tries a rule with other seeds as well: one draw may keep it by luck."""

    def trial(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
        drawn = _drawn(attempt, heads, n_heads, range(seed, seed + 20))
        complaints = (rule(output, heads, n_heads, seed) for output in drawn)
        broken = next(filter(None, complaints), None)
        return f"with another seed, {broken}" if broken else None

    trial.__name__ = f"{rule.__name__}_for_every_seed"
    control_heads.trial(trial)


for rule in (keeps_the_layers, exist, are_others, come_once):
    _holds_for_every_seed(rule)


@control_heads.trial
def same_seed_same_heads(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    again = {tuple(_pairs(attempt(list(heads), n_heads, seed))) for _ in range(4)}
    return f"seed {seed} gave different heads when called again" if len(again) > 1 else None


@control_heads.trial
def other_seeds_other_heads(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    drawn = {tuple(output) for output in _drawn(attempt, heads, n_heads, range(12))}
    return "twelve seeds all gave the same heads" if len(drawn) == 1 else None


@control_heads.trial
def every_head_can_be_drawn(attempt: Any, heads: list[Head], n_heads: int, seed: int) -> str | None:
    if len(heads) > 1:
        return None
    layer = heads[0][0]
    seen = {pair for drawn in _drawn(attempt, heads, n_heads, range(150)) for pair in drawn}
    missing = [h for h in range(n_heads) if (layer, h) not in [*seen, *heads]]
    return f"150 seeds never drew {(layer, missing[0])}" if missing else None


def _given_and_drawn(given: list[Head], controls: list[Head], layer: int, head: int) -> list[Head]:
    return [*given, *controls]


def _picks(heads: list[Head], n_heads: int, seed: int, banned: Any) -> list[Head]:
    generator = torch.Generator().manual_seed(seed)
    controls: list[Head] = []
    for layer, head in heads:
        free = [h for h in range(n_heads) if (layer, h) not in banned(heads, controls, layer, head)]
        place = torch.randint(len(free), (), generator=generator)
        controls.append((layer, free[int(place)]))
    return controls


@control_heads.wrong("you gave the same heads back: a control is another head of the same layer.")
def same_heads(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return list(heads)


@control_heads.wrong(
    "a control must not be any of the given heads. You excluded the one at hand; others of its "
    "layer "
    "may be given too."
)
def own_head_excluded_only(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    def banned(heads: list[Head], controls: list[Head], layer: int, head: int) -> list[Head]:
        return [(layer, head), *controls]

    return _picks(heads, n_heads, seed, banned)


@control_heads.wrong(
    "any head of the layer can be drawn, the one you compare with too. Draw from the heads of the "
    "layer that are neither given nor drawn before."
)
def nothing_excluded(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, seed, lambda given, controls, layer, head: [])


@control_heads.wrong(
    "the same control can be drawn twice where two heads share a layer; you would then knock out "
    "fewer heads than you compare with. Exclude those drawn before."
)
def drawn_with_replacement(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, seed, lambda heads, controls, layer, head: heads)


@control_heads.wrong(
    "the layers are drawn too. Heads of different depths do different work: a fair control comes "
    "from the same layer."
)
def any_layer(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    layers = [(layer + 1 + seed, head) for layer, head in heads]
    return _picks(layers, n_heads, seed, _given_and_drawn)


@control_heads.wrong(
    "the seed plays no part: you take the first free head each time. A control is random, and a "
    "new "
    "seed gives a new one."
)
def first_free_head(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, 0, lambda given, controls, layer, head: [
        *given, *controls, *_all_but_first(given, controls, layer, n_heads)])  # fmt: skip


def _all_but_first(given: list[Head], controls: list[Head], layer: int, n_heads: int) -> list[Head]:
    free = [h for h in range(n_heads) if (layer, h) not in [*given, *controls]]
    return [(layer, h) for h in free[1:]]


@control_heads.wrong(
    "the generator is not seeded, so the same call gives other heads each time: use "
    "torch.Generator().manual_seed(seed) and hand it to every draw."
)
def seed_not_used(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads, int(torch.randint(2**31, ())), _given_and_drawn)


@control_heads.wrong(
    "heads are counted from 0 to n_heads - 1; you drew from 1 to n_heads, a head that is not there."
)
def counted_from_one(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    shifted = [(layer, head - 1) for layer, head in heads]
    drawn = _picks(shifted, n_heads, seed, _given_and_drawn)
    return [(layer, head + 1) for layer, head in drawn]


@control_heads.wrong(
    "the last free head is never drawn: randint(n) draws from 0 to n - 1, so n is the number of "
    "free heads, not one less."
)
def last_never_drawn(heads: list[Head], n_heads: int, seed: int) -> list[Head]:
    return _picks(heads, n_heads - 1, seed, _given_and_drawn)
