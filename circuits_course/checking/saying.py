"""From what the cases showed to the message that a learner reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from circuits_course.checking.attempt import leaves_stub_line
from circuits_course.checking.beside import Pair, argument_relation, as_pair, scale_relation
from circuits_course.checking.compare import Difference, shape_text
from circuits_course.checking.declaring import Case, Declaration
from circuits_course.checking.diagnosis import Cause, diagnose
from circuits_course.checking.outcome import Outcome, Result
from circuits_course.checking.relations import numbers_relation, relation_in_most
from circuits_course.checking.repair import one_change
from circuits_course.checking.running import Finding
from circuits_course.checking.tolerance import Tolerance


def passed(exercise: Declaration) -> Result:
    return Result(exercise.name, Outcome.PASSED, f"Passed: {_tried(exercise)}.")


def wrong(exercise: Declaration, message: str, diagnosis: str | None = None) -> Result:
    return Result(exercise.name, Outcome.WRONG, message, diagnosis)


def not_a_function(exercise: Declaration, value: Any) -> Result:
    return wrong(
        exercise,
        "Wrong: check takes the function itself, not its result (got "
        f"{type(value).__name__}). Write chapter.check({exercise.name}), without calling "
        f"{exercise.name}.",
    )


def not_attempted(exercise: Declaration, attempt: Callable[..., Any]) -> Result:
    go_on = "The notebook goes on with the reference answer; come back when you like."
    message = f"Not attempted yet. {leaves_stub_line(attempt) or go_on}"
    return Result(exercise.name, Outcome.NOT_ATTEMPTED, message)


def failure(exercise: Declaration, attempt: Callable[..., Any], findings: list[Finding]) -> Result:
    """What the first failed case shows, and the cause: one on file that fits every case, the one
    change that makes every case pass, or one on file that fits most."""
    first = next(finding for finding in findings if not finding.ok)
    cause = diagnose(exercise, findings)
    stopped = first.raised is not None and first.raised.stops
    settled = cause is not None and cause.whole and not cause.of_numbers
    if not stopped and not settled:
        cause = one_change(exercise, attempt, findings) or cause
    relation = ""
    if first.difference and (cause is None or cause.of_numbers or cause.proven):
        relation = _relation(exercise, findings, first.difference)
        cause, relation = _plainer(cause, relation)
    likely = f" {cause.sentence}" if cause else ""
    name = cause.name if cause else None
    if first.raised:
        verb = "You stopped your function" if first.raised.stops else "Your function raised"
        text = f" {first.raised.text}" if first.raised.text else ""
        message = f"{verb}{text} {_on(exercise, first.case)}.{likely}"
        return Result(exercise.name, Outcome.CRASHED, message, name, first.raised.trace)
    assert first.difference is not None
    return wrong(
        exercise, _complaint(exercise, first.case, first.difference, relation) + likely, name
    )


def _plainer(cause: Cause | None, relation: str) -> tuple[Cause | None, str]:
    """What is said where both are known: a change that was tried stands beside a relation; a guess
    gives way to it, unless it is of one part only."""
    if cause is None or cause.proven or not relation:
        return cause, relation
    return (cause, "") if relation.startswith("Only") else (None, relation)


def keeps_something(exercise: Declaration, again: Finding) -> Result:
    """Every case was right, and the first of them, tried again, is not."""
    found = again.raised.text if again.raised else again.difference and again.difference.text
    return wrong(
        exercise,
        f"Wrong. Called again on {again.case.what}, after other inputs: {found}. The first time it "
        "was right, so your function keeps something from one call to the next (a list or a cache "
        "outside of it?).",
    )


def _relation(exercise: Declaration, findings: list[Finding], first: Difference) -> str:
    """What is wrong in the same way on most of the failed cases."""
    expected = exercise.expectations()
    pairs = [
        pair for f, e in zip(findings, expected, strict=False) if (pair := _pair(exercise, f, e))
    ]
    by_arguments = ""
    if pairs and len(pairs) == sum(not f.ok for f in findings):
        by_arguments = (
            scale_relation(pairs, exercise.tolerance)
            or argument_relation(pairs, exercise.tolerance)
            or _pooled(pairs, exercise.tolerance)
        )
    if by_arguments:
        return by_arguments
    if all(_is_number(value) for value in [*expected, *(f.output for f in findings)]):
        got = [float(finding.output) for finding in findings]
        together = numbers_relation([float(e) for e in expected], got, exercise.tolerance)
        if together:
            return together
    failed = [f.difference for f in findings if f.difference]
    return relation_in_most([d.relation for d in failed if d.kind == first.kind])


def _pooled(pairs: list[Pair], tolerance: Tolerance) -> str:
    """What the numbers of all cases have in common, of which single cases may hold too few."""
    if any(pair.expected.shape != pair.got.shape for pair in pairs):
        return ""
    expected, got = (
        torch.cat([side.flatten() for side in sides]).tolist()
        for sides in ([p.expected for p in pairs], [p.got for p in pairs])
    )
    return numbers_relation(expected, got, tolerance)


def _pair(exercise: Declaration, finding: Finding, expected: Any) -> Pair | None:
    if finding.ok or finding.raised or finding.broken or expected is None:
        return None
    arguments = dict(zip(exercise.parameters(), finding.case.args, strict=False))
    seen = finding.output if finding.seen is None else finding.seen
    return as_pair(arguments | finding.case.kwargs, expected, seen)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (
        isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point()
    )


def _complaint(exercise: Declaration, case: Case, difference: Difference, relation: str) -> str:
    relation = relation and f" {relation}"
    text = difference.text
    if difference.kind == "none":
        return text
    if difference.kind in ("shape", "dtype", "type", "device"):
        return f"Wrong {difference.kind}: {text} {_on(exercise, case)}.{relation}"
    return f"Wrong. On {case.what}: {text}.{relation}"


def _on(exercise: Declaration, case: Case) -> str:
    named = [*zip(exercise.parameters(), case.args, strict=False), *case.kwargs.items()]
    if not named:
        return "when called"
    return "on " + ", ".join(f"{name} {_describe(value)}" for name, value in named)


def _tried(exercise: Declaration) -> str:
    cases = exercise.built_cases()
    tensors = [
        (name, value)
        for case in cases
        for name, value in zip(exercise.parameters(), case.args, strict=False)
        if isinstance(value, Tensor)
    ]
    count = f"{len(cases)} case{'s' * (len(cases) != 1)}"
    if not tensors:
        return count
    name, largest = max(tensors, key=lambda pair: pair[1].numel())
    others = " and others" if len({value.shape for _, value in tensors}) > 1 else ""
    return f"{count}, {name} of shape {shape_text(largest)}{others}"


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"of shape {shape_text(value)}" if value.ndim else f"{value.item()!r}"
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__}"
    text = getattr(value, "__name__", "") or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
