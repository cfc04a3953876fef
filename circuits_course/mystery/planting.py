"""A plan put into a model: layers and places drawn at random, the other places filled.

The residual stream is turned by a random rotation, heads that serve nothing (distractors) attend
in the same ways as those that do, and every weight gets noise: what is planted shows in what the
model does, not in single weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from string import ascii_lowercase

import torch
from torch import Tensor

from circuits_course.circuits.basis import Basis
from circuits_course.circuits.heads import Head
from circuits_course.models.config import BOS_SYMBOL, CourseConfig
from circuits_course.models.transformer import CourseTransformer
from circuits_course.mystery.inputs import MysteryInputs
from circuits_course.mystery.plans import SHARP, Plan, PlannedHead
from circuits_course.mystery.wiring import (
    Look,
    Moves,
    at_position,
    back,
    head_weights,
    matching,
    of_kind,
    rest,
    symbols_of,
)

N_SYMBOLS, N_CTX, D_HEAD = 8, 12, 20
NOISE = 0.005
FREE = [f"free {i}" for i in range(8)]
NEVER_WRITTEN, FOR_DECOYS, FOR_DISTRACTORS = FREE[:2], FREE[2:4], FREE[4:]

Edge = tuple[Head, tuple[int, int, str] | str]


@dataclass(frozen=True)
class Planted:
    """What is known of a mystery and kept sealed.

    heads: role -> heads; edges as in a claim; symbols: tokens that the algorithm gives a meaning;
    decoys: heads of high weight scores and no effect.
    """

    algorithm: str
    heads: dict[str, list[Head]]
    edges: list[Edge]
    inputs: MysteryInputs
    symbols: dict[str, list[int]] = field(default_factory=dict)
    decoys: list[Head] = field(default_factory=list)


def random_basis(random: Random) -> Basis:
    """Eight letters in random order, and a rotation."""
    symbols = random.sample(ascii_lowercase, N_SYMBOLS)
    features: dict[str, dict[str, float]] = {name: {} for name in FREE}
    return Basis((BOS_SYMBOL, *symbols), N_CTX, features, seed=random.randrange(2**31))


def plant(
    plan: Plan, basis: Basis, random: Random, *, n_layers: int, n_heads: int, decoys: bool = False
) -> tuple[CourseTransformer, Planted]:
    """The model and its key; `decoys` adds heads with high weight scores and no effect."""
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    places = _places(plan, random, n_layers, n_heads)
    heads = {place: plan.heads[name] for name, place in places.items()}
    fooled = _add_decoys(plan, places, heads, basis, random, generator, n_heads) if decoys else []
    for place in _all_places(n_layers, n_heads):
        if place not in heads:
            heads[place] = _distractor(basis, random, generator)
    model = _blank(basis, n_layers, n_heads)
    for (layer, head), planned in heads.items():
        weights = head_weights(planned.looks, planned.moves, D_HEAD, generator)
        model.set_head(layer, head, **weights._asdict())
    _add_noise(model, generator)
    return model.requires_grad_(False), _key(plan, places, fooled)


def _all_places(n_layers: int, n_heads: int) -> list[Head]:
    return [(layer, head) for layer in range(n_layers) for head in range(n_heads)]


def _places(plan: Plan, random: Random, n_layers: int, n_heads: int) -> dict[str, Head]:
    """A layer for each stage, in order, and a free place in it for each head."""
    layers = sorted(random.sample(range(n_layers), plan.n_stages))
    taken: dict[str, Head] = {}
    for name, planned in plan.heads.items():
        layer = layers[planned.stage]
        free = [(layer, head) for head in range(n_heads) if (layer, head) not in taken.values()]
        taken[name] = random.choice(free)
    return taken


def _blank(basis: Basis, n_layers: int, n_heads: int) -> CourseTransformer:
    config = CourseConfig(
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=basis.d_model,
        d_head=D_HEAD,
        d_vocab=basis.d_vocab,
        n_ctx=basis.n_ctx,
        vocabulary=basis.vocabulary,
        model_name="mystery",
    )
    model = CourseTransformer.blank(config).requires_grad_(False)
    model.W_E.copy_(basis.W_E)
    model.W_pos.copy_(basis.position)
    model.W_U.copy_(basis.W_U)
    return model


def _add_noise(model: CourseTransformer, generator: torch.Generator) -> None:
    for weight in model.parameters():
        weight += NOISE * torch.randn(weight.shape, generator=generator)


def _key(plan: Plan, places: dict[str, Head], decoys: list[Head]) -> Planted:
    heads: dict[str, list[Head]] = {}
    for name, planned in plan.heads.items():
        heads.setdefault(planned.role, []).append(places[name])
    edges: list[Edge] = [
        (places[sender], "logits" if to == "logits" else (*places[to], letter))
        for sender, to, letter in plan.edges
    ]
    return Planted(plan.algorithm, heads, edges, plan.inputs, plan.symbols, decoys)


# --- heads that serve nothing -----------------------------------------------------------------


def _scrambled(
    basis: Basis, directions: list[str], size: float, generator: torch.Generator
) -> Moves:
    """Symbols, mixed at random into directions that nobody reads."""
    into = torch.stack([basis.direction(name) for name in directions])
    mix = torch.randn(basis.d_vocab - 1, len(directions), generator=generator)
    return Moves(symbols_of(basis, "token"), size * mix @ into)


def _distractor(basis: Basis, random: Random, generator: torch.Generator) -> PlannedHead:
    """Attends as heads of circuits do; what it writes is read by nobody."""
    kinds = random.sample(range(1, basis.d_vocab), 3)
    resting = rest(basis, SHARP / 2)
    looks: list[list[Look]] = [
        [back(basis, 1, SHARP), resting],
        [back(basis, 2, SHARP), resting],
        [at_position(basis, 1, SHARP), resting],
        [matching(basis, "token", "token", SHARP), resting],
        [of_kind(basis, kinds, SHARP), resting],
        [rest(basis, -SHARP)],
    ]
    return PlannedHead(
        "", 0, random.choice(looks), _scrambled(basis, FOR_DISTRACTORS, 0.7, generator)
    )


def _add_decoys(
    plan: Plan,
    places: dict[str, Head],
    heads: dict[Head, PlannedHead],
    basis: Basis,
    random: Random,
    generator: torch.Generator,
    n_heads: int,
) -> list[Head]:
    """Two heads that weights take for important; returns where they stand.

    One copies more loudly than any other, and never looks away from BOS. One, where the plan has a
    head that composes through keys, fits those keys well and looks where a real sender looks, but
    at directions for which no query ever asks.
    """
    found = [_place_for(heads, places, list(plan.heads)[-1], random, n_heads, below=False)]
    copies = Moves(symbols_of(basis, "token"), 3 * SHARP * symbols_of(basis, "out"))
    heads[found[0]] = PlannedHead("", 0, [rest(basis, 2 * SHARP)], copies)
    receiver = next((to for _, to, letter in plan.edges if letter == "k"), None)
    if receiver is None:
        return found
    found.append(_place_for(heads, places, receiver, random, n_heads, below=True))
    looks = [back(basis, 1, SHARP), rest(basis, SHARP / 2)]
    heads[found[1]] = PlannedHead("", 0, looks, _scrambled(basis, FOR_DECOYS, 0.25, generator))
    asked, answered = (_directions(basis, names) for names in (NEVER_WRITTEN, FOR_DECOYS))
    deaf = heads[places[receiver]]
    heads[places[receiver]] = PlannedHead(
        deaf.role, deaf.stage, [*deaf.looks, Look(asked, answered, 1.3 * SHARP)], deaf.moves
    )
    return found


def _directions(basis: Basis, names: list[str]) -> Tensor:
    return torch.stack([basis.direction(name) for name in names])


def _place_for(
    heads: dict[Head, PlannedHead],
    places: dict[str, Head],
    name: str,
    random: Random,
    n_heads: int,
    *,
    below: bool,
) -> Head:
    """A free place in the layer of a planned head, or in one below it."""
    layer = places[name][0]
    layers = range(layer) if below else [layer]
    return random.choice(list(_free_places(heads, layers, n_heads)))


def _free_places(
    heads: dict[Head, PlannedHead], layers: range | list[int], n_heads: int
) -> Iterator[Head]:
    for layer in layers:
        yield from ((layer, head) for head in range(n_heads) if (layer, head) not in heads)
