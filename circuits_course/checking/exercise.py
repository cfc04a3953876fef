"""The checker: runs an answer on many inputs, compares, and says what is wrong and why.

An `Exercise` is what a chapter's module in `checks/` declares: metadata, hints, cases, an oracle
that does not depend on the reference answer, and the wrong answers on file. Each wrong answer is
a small function with the sentence that helps whoever makes that mistake; an attempt that gives
the same output on the same inputs gets that sentence.

    score = Exercise("induction_score", difficulty=2, importance=5, minutes=10, hints=[...])

    @score.cases
    def _(): yield Case("a head that looks at the earlier copy", pattern, 4)

    @score.oracle
    def _(pattern, period): ...                   # slow and plain

    @score.wrong("You averaged over the first copy too, where there is nothing to look back to.")
    def averages_all_queries(pattern, period): ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from circuits_course.checking.attempt import blanks_left, is_stub
from circuits_course.checking.declaring import Declaration
from circuits_course.checking.outcome import Result
from circuits_course.checking.running import run_on_cases, try_case
from circuits_course.checking.saying import (
    failure,
    keeps_something,
    not_a_function,
    not_attempted,
    passed,
    wrong,
)


class Exercise(Declaration):
    """One exercise of a chapter: what its author declares, and the check of an answer."""

    def check(self, attempt: Callable[..., Any]) -> Result:
        """Runs an attempt on every case. Never raises for a fault of the attempt."""
        if not callable(attempt):
            return not_a_function(self, attempt)
        if is_stub(attempt):
            return not_attempted(self, attempt)
        complaint = self._signature_complaint(attempt)
        if complaint:
            return wrong(self, complaint)
        findings = run_on_cases(self, attempt)
        failed = [finding for finding in findings if not finding.ok]
        if not failed:
            again = try_case(self, attempt, self.built_cases()[0], self.expectations()[0])
            return passed(self) if again.ok else keeps_something(self, again)
        if any(f.raised and f.raised.is_stub for f in failed) or blanks_left(attempt):
            return not_attempted(self, attempt)
        return failure(self, attempt, findings)

    def _signature_complaint(self, attempt: Callable[..., Any]) -> str | None:
        case = self.built_cases()[0]
        try:
            signature = inspect.signature(attempt)
            signature.bind(*case.args, **case.kwargs)
        except ValueError:  # builtins without a signature
            return None
        except TypeError:
            call = ", ".join([*self.parameters()[: len(case.args)], *case.kwargs])
            return f"Wrong signature: it is called as {self.name}({call}); yours takes {signature}."
        return None
