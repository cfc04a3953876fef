"""The wrong answer on file that an attempt behaves like."""

from __future__ import annotations

from enum import IntEnum

from circuits_course.checking.compare import same
from circuits_course.checking.declaring import Declaration, WrongAnswer
from circuits_course.checking.running import Finding, try_case
from circuits_course.checking.tolerance import Tolerance


class Likeness(IntEnum):
    """How alike two answers behave on one case."""

    NONE = 0
    SAME_FAULT = 1
    SAME_OUTPUT = 2


def diagnose(exercise: Declaration, findings: list[Finding]) -> WrongAnswer | None:
    """The wrong answer on file that behaves like the attempt on most cases, if any does on the
    first case that failed."""
    first = next(i for i, finding in enumerate(findings) if not finding.ok)
    best: tuple[int, WrongAnswer] | None = None
    for wrong in exercise.wrong_answers:
        alike = _shared(exercise, wrong, findings, first)
        if alike and (best is None or alike > best[0]):
            best = alike, wrong
    return best[1] if best else None


def _shared(exercise: Declaration, wrong: WrongAnswer, findings: list[Finding], first: int) -> int:
    """How much a wrong answer behaves like the attempt; 0 unless on the first failed case."""
    expected = exercise.expectations()
    theirs = try_case(exercise, wrong.function, findings[first].case, expected[first])
    if not likeness(findings[first], theirs, exercise.tolerance):
        return 0
    rest = zip(findings[first + 1 :], expected[first + 1 :], strict=False)
    return 1 + sum(
        likeness(mine, try_case(exercise, wrong.function, mine.case, right), exercise.tolerance)
        for mine, right in rest
    )


def likeness(mine: Finding, theirs: Finding, tolerance: Tolerance) -> Likeness:
    """Whether two answers gave the same output on a case, or broke the same property.

    Where an exercise observes what an output does, only doing the same is alike.
    """
    if mine.raised or theirs.raised:
        both = mine.raised and theirs.raised and mine.raised.text == theirs.raised.text
        return Likeness.SAME_OUTPUT if both else Likeness.NONE
    kinds = {f.difference.kind if f.difference else None for f in (mine, theirs)}
    if len(kinds) > 1 or mine.broken != theirs.broken:
        return Likeness.NONE
    if kinds & {"mutation", "harm", "none"}:
        return Likeness.SAME_OUTPUT
    if "type" in kinds:
        alike = type(mine.output) is type(theirs.output)
        return Likeness.SAME_OUTPUT if alike else Likeness.NONE
    seen = [f.output if f.seen is None else f.seen for f in (mine, theirs)]
    if same(seen[0], seen[1], tolerance):
        return Likeness.SAME_OUTPUT
    same_property = mine.broken is not None and mine.seen is None
    return Likeness.SAME_FAULT if same_property else Likeness.NONE
