"""The checker: runs an answer on many inputs, compares, and says what is wrong and why.

An `Exercise` is what a chapter's module in `checks/` declares: metadata, hints, cases, an oracle
that does not depend on the reference answer, and the wrong answers on file. Each wrong answer is
a small function with the sentence that helps whoever makes that mistake; an attempt that gives
the same output on the same inputs gets that sentence.

    score = checks.exercise("induction_score", difficulty=2, importance=5, minutes=10, hints=[...])

    @score.cases
    def _(): yield Case("a head that looks at the earlier copy", pattern, 4)

    @score.oracle
    def _(pattern, period): ...                   # slow and plain

    @score.wrong("You averaged over the first copy too, where there is nothing to look back to.")
    def averages_all_queries(pattern, period): ...
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from torch import Tensor, nn

from circuits_course.attempt import Raised, blanks_left, is_stub, leaves_stub_line, run_attempt
from circuits_course.compare import (
    TOLERANCE,
    Difference,
    Tolerance,
    find_difference,
    same,
    shape_text,
)
from circuits_course.errors import CourseError


class Outcome(Enum):
    """What a check found; the value is the word that stands in messages."""

    PASSED = "Passed"
    WRONG = "Wrong"
    NOT_ATTEMPTED = "Not attempted yet"
    CRASHED = "Crashed"

    @property
    def glyph(self) -> str:
        return {"PASSED": "✔", "WRONG": "✘", "NOT_ATTEMPTED": "○", "CRASHED": "✘"}[self.name]


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    message: what is wrong, in words, the first thing to read. diagnosis: name of the wrong answer
    on file that the attempt behaves like. trace: the learner's own lines that led to a crash.
    """

    exercise: str
    outcome: Outcome
    message: str
    diagnosis: str | None = None
    trace: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def text(self) -> str:
        """The whole message: glyph, word, sentence; the trace last."""
        first = f"{self.outcome.glyph} {self.message}"
        return f"{first}\n{self.trace}" if self.trace else first


class Case:
    """One set of inputs. `what` completes "On ...": what is special about them."""

    def __init__(self, what: str, *args: Any, **kwargs: Any) -> None:
        self.what, self.args, self.kwargs = what, args, kwargs

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fresh copies of the inputs; models are shared."""
        return _fresh(self.args), _fresh(self.kwargs)


@dataclass(frozen=True)
class WrongAnswer:
    """A misconception on file: a function that embodies it and the sentence that helps."""

    name: str
    because: str
    function: Callable[..., Any]


@dataclass(frozen=True)
class Property:
    """Something every right output has. `check(output, *inputs)` returns a complaint or None.

    of_attempt: `check` is handed the attempt itself, to call it again, in place of its output.
    """

    name: str
    check: Callable[..., str | None]
    of_attempt: bool = False


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


@dataclass
class Exercise:
    """One exercise of a chapter; difficulty and importance run from 1 to 5.

    `cases`, `oracle`, `observe`, `prop` and `wrong` are decorators that a chapter's module uses.
    """

    name: str
    difficulty: int
    importance: int
    minutes: int
    hints: Sequence[str]
    tolerance: Tolerance = TOLERANCE
    wrong_answers: list[WrongAnswer] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    _cases: Callable[[], Iterable[Case]] | None = None
    _oracle: Callable[..., Any] | None = None
    _observe: Callable[..., Any] | None = None
    _built: list[Case] | None = None
    _expected: list[Any] | None = None

    # --- declaring -----------------------------------------------------------------------

    def cases(self, function: Callable[[], Iterable[Case]]) -> Callable[[], Iterable[Case]]:
        """Decorator: a generator of `Case`s, run once, when the exercise is first checked."""
        self._cases = function
        return function

    def oracle(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the expected output, computed without the reference answer."""
        self._oracle = function
        return function

    def observe(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `observe(output, *inputs)` is compared with the oracle's value instead of
        the output itself, where right answers may differ in form and agree in behaviour."""
        self._observe = function
        return function

    def prop(self, function: Callable[..., str | None]) -> Callable[..., str | None]:
        """Decorator: `prop(output, *inputs)` returns a complaint in words, or None."""
        self.properties.append(Property(function.__name__, function))
        return function

    def trial(self, function: Callable[..., str | None]) -> Callable[..., str | None]:
        """Decorator: `trial(attempt, *inputs)` may call the attempt again, for what one output
        cannot show (a seed that is heeded); returns a complaint in words, or None."""
        self.properties.append(Property(function.__name__, function, of_attempt=True))
        return function

    def wrong(self, because: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: puts a wrong answer on file, with the sentence for whoever gives it."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.wrong_answers.append(WrongAnswer(function.__name__, because, function))
            return function

        return register

    # --- checking ------------------------------------------------------------------------

    def check(self, attempt: Callable[..., Any]) -> Result:
        """Runs an attempt on every case. Never raises for a fault of the attempt."""
        if not callable(attempt):
            return self._result(Outcome.WRONG, _not_a_function(self.name, attempt))
        if is_stub(attempt):
            return self._not_attempted(attempt)
        complaint = self._signature_complaint(attempt)
        if complaint:
            return self._result(Outcome.WRONG, complaint)
        findings = self._run(attempt)
        failed = [finding for finding in findings if not finding.ok]
        if not failed:
            return self._result(Outcome.PASSED, f"Passed: {self._tried()}.")
        if any(f.raised and f.raised.is_stub for f in failed) or blanks_left(attempt):
            return self._not_attempted(attempt)
        return self._failure(findings, failed[0])

    def built_cases(self) -> list[Case]:
        """The cases, built once."""
        if self._built is None:
            assert self._cases is not None, f"{self.name} has no cases"
            self._built = list(self._cases())
        return self._built

    def _expectations(self) -> list[Any]:
        if self._expected is None:
            assert self._oracle or self.properties, f"{self.name} has no oracle and no property"
            self._expected = [self._expect(case) for case in self.built_cases()]
        return self._expected

    def _expect(self, case: Case) -> Any:
        if self._oracle is None:
            return None
        args, kwargs = case.inputs()
        return self._oracle(*args, **kwargs)

    def _run(self, attempt: Callable[..., Any]) -> list[Finding]:
        findings = []
        for case, expected in zip(self.built_cases(), self._expectations(), strict=True):
            findings.append(self._try(attempt, case, expected))
            if findings[-1].raised and findings[-1].raised.stops:
                break
        return findings

    def _try(self, attempt: Callable[..., Any], case: Case, expected: Any) -> Finding:
        args, kwargs = case.inputs()
        output = run_attempt(attempt, args, kwargs)
        if isinstance(output, Raised) and output.harm:
            return Finding(case, difference=Difference("harm", output.text), broken="harm")
        if isinstance(output, Raised):
            return Finding(case, raised=output)
        changed = _changed_input(case, args, kwargs, self._parameters())
        if changed:
            return Finding(case, output, difference=Difference("mutation", changed))
        return self._judge(attempt, case, output, expected)

    def _judge(
        self, attempt: Callable[..., Any], case: Case, output: Any, expected: Any
    ) -> Finding:
        """Properties first, since they speak of the idea; then the values."""
        args, kwargs = case.inputs()
        if output is None and (expected is not None or self._oracle is None):
            return Finding(case, output, difference=find_difference(..., output))
        seen = run_attempt(self._observe, (output, *args), kwargs) if self._observe else None
        unusable = isinstance(seen, Raised)
        for prop in self.properties:
            subject = attempt if prop.of_attempt else output
            complaint = run_attempt(prop.check, (subject, *args), kwargs)
            if isinstance(complaint, Raised):
                complaint = f"your result could not be used: {complaint.text}"
            if complaint:
                difference = Difference("property", complaint)
                return Finding(case, output, None if unusable else seen, difference, prop.name)
        if self._oracle is None:
            return Finding(case, output)
        if isinstance(seen, Raised):
            text = f"your result could not be used: {seen.text}"
            return Finding(case, output, difference=Difference("type", text))
        seen = output if self._observe is None else seen
        found = find_difference(expected, seen, self.tolerance)
        return Finding(case, output, seen, found)

    # --- saying --------------------------------------------------------------------------

    def _failure(self, findings: list[Finding], first: Finding) -> Result:
        wrong = self._diagnose(findings)
        likely = f" Likely: {wrong.because}" if wrong else ""
        name = wrong.name if wrong else None
        if first.raised:
            verb = "You stopped your function" if first.raised.stops else "Your function raised"
            text = f" {first.raised.text}" if first.raised.text else ""
            message = f"{verb}{text} {self._on(first.case)}.{likely}"
            return Result(self.name, Outcome.CRASHED, message, name, first.raised.trace)
        assert first.difference is not None
        message = self._complaint(first.case, first.difference, wrong is None)
        return self._result(Outcome.WRONG, message + likely, name)

    def _complaint(self, case: Case, difference: Difference, with_relation: bool) -> str:
        relation = f" {difference.relation}" if difference.relation and with_relation else ""
        text = difference.text
        if difference.kind == "none":
            return text
        if difference.kind in ("shape", "dtype", "type", "device"):
            return f"Wrong {difference.kind}: {text} {self._on(case)}.{relation}"
        return f"Wrong. On {case.what}: {text}.{relation}"

    def _diagnose(self, findings: list[Finding]) -> WrongAnswer | None:
        """The wrong answer on file that behaves like the attempt on most cases, if any does on
        the first case that failed."""
        first = next(i for i, finding in enumerate(findings) if not finding.ok)
        best: tuple[int, WrongAnswer] | None = None
        for wrong in self.wrong_answers:
            alike = self._likeness(wrong, findings, first)
            if alike and (best is None or alike > best[0]):
                best = alike, wrong
        return best[1] if best else None

    def _likeness(self, wrong: WrongAnswer, findings: list[Finding], first: int) -> int:
        """How much a wrong answer behaves like the attempt; 0 unless on the first failed case."""
        expected = self._expectations()
        theirs = self._try(wrong.function, findings[first].case, expected[first])
        if not _alike(findings[first], theirs, self.tolerance):
            return 0
        rest = zip(findings[first + 1 :], expected[first + 1 :], strict=False)
        return 1 + sum(
            _alike(mine, self._try(wrong.function, mine.case, right), self.tolerance)
            for mine, right in rest
        )

    def _not_attempted(self, attempt: Callable[..., Any]) -> Result:
        leftover = leaves_stub_line(attempt)
        go_on = "The notebook goes on with the reference answer; come back when you like."
        message = f"Not attempted yet. {leftover or go_on}"
        return self._result(Outcome.NOT_ATTEMPTED, message)

    def _signature_complaint(self, attempt: Callable[..., Any]) -> str | None:
        case = self.built_cases()[0]
        try:
            signature = inspect.signature(attempt)
            signature.bind(*case.args, **case.kwargs)
        except ValueError:  # builtins without a signature
            return None
        except TypeError:
            call = ", ".join([*self._parameters()[: len(case.args)], *case.kwargs])
            return f"Wrong signature: it is called as {self.name}({call}); yours takes {signature}."
        return None

    def _parameters(self) -> list[str]:
        source = self._oracle or self.wrong_answers[0].function
        return list(inspect.signature(source).parameters)

    def _on(self, case: Case) -> str:
        named = [*zip(self._parameters(), case.args, strict=False), *case.kwargs.items()]
        if not named:
            return "when called"
        return "on " + ", ".join(f"{name} {_describe(value)}" for name, value in named)

    def _tried(self) -> str:
        cases = self.built_cases()
        tensors = [
            (name, value)
            for case in cases
            for name, value in zip(self._parameters(), case.args, strict=False)
            if isinstance(value, Tensor)
        ]
        count = f"{len(cases)} case{'s' * (len(cases) != 1)}"
        if not tensors:
            return count
        name, largest = max(tensors, key=lambda pair: pair[1].numel())
        return f"{count}, {name} of shape {shape_text(largest)} and others"

    def _result(self, outcome: Outcome, message: str, diagnosis: str | None = None) -> Result:
        return Result(self.name, outcome, message, diagnosis)


class CheckFailed(CourseError):
    """Strict mode: a check did not pass."""


def _alike(mine: Finding, theirs: Finding, tolerance: Tolerance) -> int:
    """0 for another behaviour, 1 for the same kind of fault, 2 for the same output.

    Where an exercise observes what an output does, only doing the same is alike.
    """
    if mine.raised or theirs.raised:
        return 2 * bool(mine.raised and theirs.raised and mine.raised.text == theirs.raised.text)
    kinds = {f.difference.kind if f.difference else None for f in (mine, theirs)}
    if len(kinds) > 1 or mine.broken != theirs.broken:
        return 0
    if kinds & {"mutation", "harm", "none"}:
        return 2
    if "type" in kinds:
        return 2 * (type(mine.output) is type(theirs.output))
    seen = [f.output if f.seen is None else f.seen for f in (mine, theirs)]
    if same(seen[0], seen[1], tolerance):
        return 2
    return int(mine.broken is not None and mine.seen is None)


def _fresh(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return value
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_fresh(item) for item in value)
    if type(value) in (list, dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        fresh = {key: _fresh(item) for key, item in items}
        return fresh if isinstance(value, dict) else list(fresh.values())
    return copy.deepcopy(value)


def _changed_input(case: Case, args: Any, kwargs: Any, names: list[str]) -> str | None:
    before = [*zip(names, case.args, strict=False), *case.kwargs.items()]
    after = [*args, *kwargs.values()]
    for (name, old), new in zip(before, after, strict=False):
        if isinstance(old, Tensor) and not same(old, new, Tolerance(0.0, 0.0)):
            return (
                f"your function changed its input {name} in place; the caller still needs it. "
                f"Work on a copy, for example {name}.clone()"
            )
    return None


def _not_a_function(name: str, value: Any) -> str:
    return (
        f"Wrong: check takes the function itself, not its result (got {type(value).__name__}). "
        f"Write chapter.check({name}), without calling {name}."
    )


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"of shape {shape_text(value)}" if value.ndim else f"{value.item()!r}"
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__}"
    text = getattr(value, "__name__", "") or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
