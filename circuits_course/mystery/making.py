"""The mysteries at hand, and making new ones.

Everything about a mystery follows from its seed: algorithm, symbols, places of heads, rotation,
noise. A new one is handed out only once the grader gives its true circuit full marks and takes
marks from every circuit that leaves something out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from circuits_course.circuits.basis import Basis
from circuits_course.circuits.heads import Head
from circuits_course.errors import CourseError, UnknownName
from circuits_course.mystery.answers import true_predictions
from circuits_course.mystery.claims import Claim
from circuits_course.mystery.grading import grade_on
from circuits_course.mystery.hiding import HIDERS, told_where, two_backups
from circuits_course.mystery.plans import PLANS, Plan, can_have_backup, induction, with_backup
from circuits_course.mystery.planting import plant, random_basis
from circuits_course.mystery.sealing import (
    Mystery,
    open_seal,
    rounded,
    sealed,
    write_mystery,
)
from circuits_course.mystery.shelf import SHELF, own_shelf
from circuits_course.storage import require_writable

TRIES = 20

SHIPPED = {
    "agate": 1004,
    "basalt": 1030,
    "chert": 1006,
    "diorite": 1011,
    "emerald": 1031,
    "flint": 1053,
    "gneiss": 1001,
    "halite": 1008,
    "iolite": 1175,
    "jasper": 1015,
    "kunzite": 1111,
    "lazulite": 1103,
}
"""The mysteries of the course, from easy to hard, and the seeds that `ship` makes them from."""

HIDING = {"kunzite": two_backups, "lazulite": told_where}
"""Those whose circuits hide; all others draw their algorithm with their seed."""


def one_backup(basis: Basis, random: Random) -> Plan:
    """An induction head with another that stands in for it."""
    return with_backup(induction(basis, random), basis)


KINDS = {plan.__name__: plan for plan in (*PLANS, one_backup, *HIDERS)}
"""Every kind of circuit that is planted, by name; `make_mystery` also adds backups at random."""

# --- making -----------------------------------------------------------------------------------


def shipped(name: str) -> Mystery:
    """A mystery of the course, made again from its seed."""
    make = make_hiding if name in HIDING else make_mystery
    return make(name, SHIPPED[name])


def make_hiding(name: str, seed: int) -> Mystery:
    """A mystery with one of the circuits that hide, not yet verified.

    Which one follows from the name, where it is of `HIDING`, else from the seed.
    """
    random = Random(seed)
    basis = random_basis(random)
    return _hard(name, (HIDING.get(name) or random.choice(HIDERS))(basis, random), basis, random)


def make_planted(plan: str, seed: int) -> Mystery:
    """A mystery of a known kind, not verified: what a method is tried on many times.

    plan: the name of one of `KINDS`. Raises UnknownName for another.
    """
    if plan not in KINDS:
        raise UnknownName("kind of circuit", plan, KINDS)
    random = Random(seed)
    basis = random_basis(random)
    return _hard(f"{plan}-{seed}", KINDS[plan](basis, random), basis, random)


def _hard(name: str, plan: Plan, basis: Basis, random: Random) -> Mystery:
    model, key = plant(plan, basis, random, n_layers=3, n_heads=3, decoys=True)
    return Mystery(name, rounded(model), sealed(key))


def make_mystery(name: str, seed: int) -> Mystery:
    """A mystery from a seed alone, not yet verified; the same seed gives the same one."""
    random = Random(seed)
    basis = random_basis(random)
    plan = random.choice(PLANS)(basis, random)
    if can_have_backup(plan) and random.random() < 0.4:
        plan = with_backup(plan, basis)
    n_layers = random.randint(max(2, plan.n_stages), 3)
    decoys = random.random() < 0.5
    model, key = plant(plan, basis, random, n_layers=n_layers, n_heads=3, decoys=decoys)
    return Mystery(name, rounded(model), sealed(key))


def new_mystery(seed: int, folder: Path | None = None, *, hiding: bool = False) -> Mystery:
    """A fresh mystery "seed-N", verified and kept on this machine (or in `folder`).

    hiding: with a circuit that hides from simple methods, named "seed-N-hiding". Takes seconds.
    Raises CourseError for a seed that is no whole number from 0 on.
    """
    if type(seed) is not int or seed < 0:
        raise CourseError(f"A seed is a whole number from 0 on; got {seed!r}.")
    name = f"seed-{seed}-hiding" if hiding else f"seed-{seed}"
    shelf = folder or own_shelf()
    require_writable(shelf)
    mystery = verified(name, seed, make_hiding if hiding else make_mystery)
    write_mystery(mystery, shelf / f"{name}.safetensors")
    return mystery


def ship(folder: Path = SHELF) -> None:
    """Writes the mysteries of the course, made from their seeds, into a folder."""
    for name in SHIPPED:
        write_mystery(shipped(name), folder / f"{name}.safetensors")


def verified(name: str, seed: int, make: Callable[[str, int], Mystery] = make_mystery) -> Mystery:
    """The first mystery of a seed, or of the numbers drawn from it, that the grader is sure of."""
    draws = Random(seed)
    for draw in (seed, *(draws.randrange(2**31) for _ in range(TRIES))):
        mystery = make(name, draw)
        if flaw(mystery) is None:
            return mystery
    raise CourseError(f"No mystery came out right for seed {seed}; take another seed.")


def flaw(mystery: Mystery) -> str | None:
    """Why a mystery should not be handed out; None where its grading is as it must be."""
    truth = true_claim(mystery)
    if not grade_on(mystery, truth).full:
        return "the true claim does not get full marks"
    if any(grade_on(mystery, without(truth, head)).full for head in truth.circuit):
        return "a claim that leaves a head out gets full marks"
    return None


def true_claim(mystery: Mystery) -> Claim:
    """The claim that deserves full marks."""
    key = open_seal(mystery)
    predictions = true_predictions(key, mystery.model.cfg.vocabulary)
    return Claim(mystery.name, key.heads, key.edges, key.algorithm, predictions)


def without(claim: Claim, left_out: Head) -> Claim:
    """A claim less one head and its edges."""
    heads = {role: [h for h in heads if h != left_out] for role, heads in claim.heads.items()}
    edges = [edge for edge in claim.edges if left_out not in (edge[0], edge[1][:2])]
    return replace(claim, heads=heads, edges=edges)
