"""Exercise `minimality`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuits_course.checking import Exercise
from circuits_course.checking.declaring import Case
from circuits_course.checks.c06_indirect_object_identification.shared import (
    ADDING,
    BACKED_UP,
    ENTANGLED,
    HEAD_A,
    HEAD_B,
    C,
    D,
    E,
)
from circuits_course.checks.slips import slip

minimality = Exercise(
    "minimality",
    difficulty=3,
    importance=4,
    minutes=6,
    hints=[
        "First take K away from the circuit. That is the state in which the head is tried.",
        "Then F with the head and F without it; their distance.",
    ],
)


@minimality.cases
def _minimality_cases() -> Iterator[Case]:
    yield Case("a head worth 3, nothing else removed", ADDING, {HEAD_A, HEAD_B, C}, HEAD_A)
    yield Case("a head worth -2", ADDING, {HEAD_A, HEAD_B, C}, C)
    yield Case(
        "a backup while the main head is there",
        BACKED_UP,
        {HEAD_A, HEAD_B, C},
        HEAD_B,
        set(),
    )
    yield Case(
        "a backup once the main head is removed",
        BACKED_UP,
        {HEAD_A, HEAD_B, C},
        HEAD_B,
        {HEAD_A},
    )
    parts = (
        ({HEAD_A, D, C}, D, {C}),
        ({HEAD_B, C, E}, C, {HEAD_B, E}),
        ({E, HEAD_A, HEAD_B}, HEAD_A, {HEAD_B}),
    )
    for F, (circuit, head, removed) in zip(ENTANGLED, parts, strict=True):
        yield Case("a random F", F, circuit, head, removed)


@minimality.oracle
def _minimality_oracle(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    before = [other for other in circuit if other not in removed]
    after = [other for other in before if other != head]
    return max(F(before) - F(after), F(after) - F(before))


@minimality.wrong(
    "K stayed in. A backup does nothing while the head it stands in for is there; remove K first."
)
def removed_stayed(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F(set(circuit) - {head}) - F(circuit))


@minimality.wrong(
    "compared with the whole circuit. K is missing in one term only, so the loss of K is counted "
    "as "
    "the head's: take it from both."
)
def compared_with_the_whole(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F(set(circuit) - set(removed) - {head}) - F(circuit))


@minimality.wrong("the sign is kept: a head that works against the task matters too. Take abs().")
def minimality_signed(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    rest = set(circuit) - set(removed)
    return F(rest - {head}) - F(rest)


@minimality.wrong("that is the head all alone. Asked is what it adds to the others of the circuit.")
def head_alone(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F({head}))


@minimality.wrong("that is what is left without the head; asked is the change.")
def what_is_left(F: Any, circuit: Any, head: Any, removed: Any = frozenset()) -> float:
    return abs(F(set(circuit) - set(removed) - {head}))


slip(
    minimality,
    "head_from_the_whole_circuit",
    "the head was taken from the whole circuit, and compared with the circuit without K. Take K "
    "out on both sides.",
    ("F(rest - {head})", "F(circuit - {head})"),
)


slip(
    minimality,
    "two_numbers_for_a_head",
    "a set made from the pair itself, {*head}, holds two numbers and no head: {head}.",
    ("{head}", "{*head}"),
)


slip(
    minimality,
    "loss_signed",
    "the sign is kept, with the head minus without it. A head that works against the task "
    "matters too: take abs().",
    ("return abs(F(rest - {head}) - F(rest))", "return F(rest) - F(rest - {head})"),
)


slip(
    minimality,
    "minimality_share",
    "the change was divided by what is there with the head. Keep logits.",
    ("return abs(F(rest - {head}) - F(rest))", "return abs(1 - F(rest - {head}) / F(rest))"),
)


slip(
    minimality,
    "minimality_squared",
    "the change was squared. Keep logits: abs().",
    ("return abs(F(rest - {head}) - F(rest))", "return (F(rest - {head}) - F(rest)) ** 2"),
)


slip(
    minimality,
    "only_k_left",
    "K was left in place and the rest removed: F takes the heads that stay, so subtract K.",
    ("rest = circuit - removed", "rest = set(removed) | {head}"),
)


slip(
    minimality,
    "sum_of_both",
    "the two were added. What the head matters is their difference.",
    ("return abs(F(rest - {head}) - F(rest))", "return abs(F(rest - {head}) + F(rest))"),
)


slip(
    minimality,
    "effect_with_and_without_k",
    "this is how much K changes what the head matters. Asked is what it matters without K.",
    (
        "return abs(F(rest - {head}) - F(rest))",
        "return abs(abs(F(rest - {head}) - F(rest)) - abs(F(circuit - {head}) - F(circuit)))",
    ),
)


slip(
    minimality,
    "what_k_leaves_alone",
    "the circuit without K and `head` is compared with K alone. Compare it with the circuit "
    "without K.",
    ("return abs(F(rest - {head}) - F(rest))", "return abs(F(rest - {head}) - F(set(removed)))"),
)


slip(
    minimality,
    "kept_at_0",
    "where the circuit does better without the head the result is 0. A head that works "
    "against the task matters too: take abs().",
    ("return abs(F(rest - {head}) - F(rest))", "return max(F(rest) - F(rest - {head}), 0.0)"),
)


slip(
    minimality,
    "share_of_the_circuit",
    "the change was divided by F(C). Keep logits.",
    (
        "return abs(F(rest - {head}) - F(rest))",
        "return abs(F(rest - {head}) - F(rest)) / abs(F(circuit))",
    ),
)
