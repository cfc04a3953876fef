"""Exercise `claim_agate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.circuits.heads import Head
from circuits_course.mystery import Claim, grade, load_mystery
from circuits_course.mystery.bench import all_heads
from circuits_course.mystery.making import true_claim

claim_agate = Exercise(
    "claim_agate",
    difficulty=2,
    importance=5,
    minutes=10,
    hints=[
        "The table above has a row for each head. Which ones move the predictions when they are "
        "ablated? Only those belong into the claim.",
        "A head that nobody reads but the unembedding has one edge, to the logits: "
        '((layer, head), "logits").',
        "Print some inputs with the model's top prediction at each position below them. Which "
        "earlier symbol does it say again?",
    ],
)


@claim_agate.cases
def _agate_cases() -> Iterator[Case]:
    yield Case("agate")


@claim_agate.oracle
def _agate_oracle() -> dict[str, float]:
    return dict.fromkeys(grade(Claim("agate")).marks, 1.0)


@claim_agate.observe
def _agate_marks(claim: Claim) -> dict[str, float]:
    return grade(claim).marks


@claim_agate.prop
def a_claim_about_agate(claim: Any) -> str | None:
    if not isinstance(claim, Claim):
        return f"expected a Claim, got a {type(claim).__name__}"
    return None if claim.mystery == "agate" else f"the claim is about {claim.mystery!r}"


@claim_agate.prop
def full_marks(claim: Claim) -> str | None:
    parts = grade(claim).parts
    short = [f"{name} {part.mark:.0%}" for name, part in parts.items() if part.mark < 1]
    nudge = next((part.nudge for part in parts.values() if part.mark < 1), "")
    return f"{', '.join(short)}. {nudge.rstrip('.')}" if short else None


def _truth() -> Claim:
    return true_claim(load_mystery("agate"))


def _agate(**changes: Any) -> Claim:
    return replace(_truth(), **changes)


@claim_agate.wrong(
    "no head is named. Somebody has to do it: ablate heads one at a time and see what moves."
)
def no_heads() -> Claim:
    return _agate(heads={}, edges=[])


@claim_agate.wrong(
    "a circuit of all heads is faithful and says nothing. Name only those whose loss can be felt."
)
def all_the_heads() -> Claim:
    truth = _truth()
    (role,), (true,) = truth.heads, truth.heads.values()
    rest = [head for head in sorted(all_heads(load_mystery("agate").model)) if head not in true]
    return _agate(heads={role: true, "backup": rest})


@claim_agate.wrong(
    "that head looks where the right one looks, and nobody listens to it. Attention shows what a "
    "head reads; ablation shows whether it matters."
)
def looks_alike() -> Claim:
    truth, mystery = _truth(), load_mystery("agate")
    (role,), (true,) = truth.heads, truth.heads.values()
    alike = next(head for head in sorted(all_heads(mystery.model)) if _role_fits(head, role, true))
    return _agate(heads={role: [alike]}, edges=[(alike, "logits")])


def _role_fits(head: Head, role: str, true: Sequence[Head]) -> bool:
    from circuits_course.mystery.roles import attends_as

    mystery = load_mystery("agate")
    return head not in true and attends_as(mystery.model, mystery.sample(32, 0), head, role)


@claim_agate.wrong("the head is right, its role is not: where does its attention go?")
def wrong_role() -> Claim:
    (true,) = _truth().heads.values()
    return _agate(heads={"inhibition": true})


@claim_agate.wrong(
    "no edges are claimed. Who reads what the head writes? If it is the unembedding, the edge ends "
    'at "logits".'
)
def no_edges() -> Claim:
    return _agate(edges=[])


@claim_agate.wrong(
    "the algorithm's name is not the right one. Look at inputs and predictions again."
)
def wrong_name() -> Claim:
    return _agate(algorithm="last copy")


@claim_agate.wrong(
    "everything is right but the predictions. `symbols` ends with the current symbol: "
    "symbols[-1] is where the model stands, symbols[-2] one before."
)
def says_the_current_symbol() -> Claim:
    return _agate(predictions=lambda symbols: symbols[-1])
