"""An answer run on every case, and what each case showed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

from torch import Tensor, nn

from circuits_course.checking.attempt import Elsewhere, Raised, run_attempt
from circuits_course.checking.compare import Difference, find_difference, same
from circuits_course.checking.declaring import Case, Declaration
from circuits_course.checking.tolerance import Tolerance

EXACTLY = Tolerance(0.0, 0.0)


@dataclass(frozen=True)
class Finding:
    """What one case showed of an attempt: a complaint, an exception, or neither."""

    case: Case
    output: Any = None
    seen: Any = None
    difference: Difference | None = None
    broken: str | None = None
    raised: Raised | None = None

    @property
    def ok(self) -> bool:
        return self.difference is None and self.raised is None


def run_on_cases(exercise: Declaration, attempt: Callable[..., Any]) -> list[Finding]:
    """What each case shows; ends early where the learner interrupted."""
    return list(findings_of(exercise, attempt))


def findings_of(exercise: Declaration, attempt: Callable[..., Any]) -> Iterator[Finding]:
    """The same, case by case: whoever needs no more may stop."""
    for case, expected in zip(exercise.built_cases(), exercise.expectations(), strict=True):
        finding = try_case(exercise, attempt, case, expected)
        yield finding
        if finding.raised and finding.raised.stops:
            return


def try_case(
    exercise: Declaration, attempt: Callable[..., Any], case: Case, expected: Any
) -> Finding:
    """What one case shows."""
    output, changed = run_once(exercise, attempt, case)
    if type(output) is Raised and output.harm:  # isinstance asks the object, which may refuse
        return Finding(case, difference=Difference("harm", output.text), broken="harm")
    if type(output) is Raised:
        return Finding(case, raised=output)
    if changed:
        return Finding(case, output, difference=Difference("mutation", changed))
    try:
        return _judge(exercise, attempt, case, output, expected)
    except Exception as error:  # sparse and nested tensors, endless numbers, objects that refuse
        text = f"your result cannot be compared ({type(error).__name__}); return a plain value"
        return Finding(case, difference=Difference("type", text))


def run_once(
    exercise: Declaration, attempt: Callable[..., Any], case: Case
) -> tuple[Any, str | None]:
    """What an answer returns or `Raised` on a case, and a complaint where it changed an input."""
    if isinstance(attempt, Elsewhere):
        return attempt.run(case)
    args, kwargs = case.inputs()
    output = run_attempt(attempt, args, kwargs)
    if type(output) is Raised:
        return output, None
    return output, _changed_input(case, args, kwargs, exercise.parameters())


def _judge(
    exercise: Declaration, attempt: Callable[..., Any], case: Case, output: Any, expected: Any
) -> Finding:
    """Properties first, since they speak of the idea; then the values."""
    args, kwargs = case.inputs()
    no_oracle, observe = exercise.oracle_function is None, exercise.observer
    if output is None and (expected is not None or no_oracle):
        return Finding(case, output, difference=Difference.none())
    seen = run_attempt(observe, (output, *args), kwargs) if observe else None
    unusable = isinstance(seen, Raised)
    for prop in exercise.properties:
        subject = attempt if prop.of_attempt else output
        if prop.of_attempt and isinstance(attempt, Elsewhere):
            attempt.begin_trial()
        if prop.live and isinstance(attempt, Elsewhere):
            complaint = attempt.live_trial(prop.name, case)
        else:
            complaint = run_attempt(prop.check, (subject, *args), kwargs)
        if isinstance(complaint, Raised):
            complaint = f"your result could not be used: {complaint.text}"
        if complaint:
            difference = Difference("property", complaint)
            return Finding(case, output, None if unusable else seen, difference, prop.name)
    if no_oracle:
        return Finding(case, output)
    if isinstance(seen, Raised):
        text = f"your result could not be used: {seen.text}"
        return Finding(case, output, difference=Difference("type", text))
    seen = output if observe is None else seen
    return Finding(case, output, seen, find_difference(expected, seen, exercise.tolerance))


def _changed_input(case: Case, args: Any, kwargs: Any, names: list[str]) -> str | None:
    before = [*zip(names, case.args, strict=False), *case.kwargs.items()]
    after = [*args, *kwargs.values()]
    for (name, old), new in zip(before, after, strict=False):
        if not unchanged(old, new):
            copied = f"{name}.clone()" if isinstance(old, Tensor) else f"copy.copy({name})"
            return (
                f"your function changed its input {name} in place; the caller still needs it. "
                f"Work on a copy, for example {copied}"
            )
    return None


def unchanged(old: Any, new: Any, depth: int = 4) -> bool:
    """Whether a value is what it was: tensors, containers, and what objects hold, some levels down.

    Models are watched by `guard`.
    """
    if depth == 0 or old is new or isinstance(old, nn.Module | type | FunctionType | MethodType):
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, Tensor):
        return same(old, new, EXACTLY)
    if isinstance(old, Mapping):
        alike = old.keys() == new.keys()
        return alike and all(unchanged(old[key], new[key], depth - 1) for key in old)
    if isinstance(old, list | tuple):
        alike = len(old) == len(new)
        return alike and all(unchanged(a, b, depth - 1) for a, b in zip(old, new, strict=True))
    if isinstance(old, set | frozenset | str | int | float | complex | bytes):
        return old == new or old != old  # not a number is what it was
    held = getattr(new, "__dict__", {})  # may have grown: cached properties
    return all(
        name in held and unchanged(value, held[name], depth - 1)
        for name, value in getattr(old, "__dict__", {}).items()
    )
