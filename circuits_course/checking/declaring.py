"""What an exercise is made of: its cases, oracle, properties and wrong answers on file."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from circuits_course.checking.tolerance import TOLERANCE, Tolerance
from circuits_course.errors import CourseError

SCALE = range(1, 6)


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
    live: it watches what values do not show (the models that are run, gradients), so it runs
    where the attempt does.
    """

    name: str
    check: Callable[..., str | None]
    of_attempt: bool = False
    live: bool = False


@dataclass
class Declaration:
    """What the author of an exercise says of it; difficulty and importance run from 1 to 5.

    `cases`, `oracle`, `observe`, `prop`, `trial` and `wrong` are decorators that the exercise's
    module uses.
    """

    name: str
    difficulty: int
    importance: int
    minutes: int
    hints: Sequence[str]
    tolerance: Tolerance = TOLERANCE
    wrong_answers: list[WrongAnswer] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    oracle_function: Callable[..., Any] | None = None
    observer: Callable[..., Any] | None = None
    _cases: Callable[[], Iterable[Case]] | None = None
    _built: list[Case] | None = None
    _expected: list[Any] | None = None
    known_findings: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("difficulty", "importance"):
            if getattr(self, what) not in SCALE:
                raise CourseError(
                    f"Exercise {self.name!r}: {what} runs from 1 to 5, not {getattr(self, what)}."
                )

    # --- declaring -----------------------------------------------------------------------

    def cases(self, function: Callable[[], Iterable[Case]]) -> Callable[[], Iterable[Case]]:
        """Decorator: a generator of `Case`s, run once, when the exercise is first checked."""
        self._cases = function
        return function

    def oracle(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the expected output, computed without the reference answer."""
        self.oracle_function = function
        return function

    def observe(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `observe(output, *inputs)` is compared with the oracle's value instead of
        the output itself, where right answers may differ in form and agree in behaviour."""
        self.observer = function
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

    def live_trial(self, function: Callable[..., str | None]) -> Callable[..., str | None]:
        """Decorator: a trial that watches more than values: on what a model is run, gradients."""
        made = Property(function.__name__, function, of_attempt=True, live=True)
        self.properties.append(made)
        return function

    def wrong(self, because: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: puts a wrong answer on file, with the sentence for whoever gives it."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.wrong_answers.append(WrongAnswer(function.__name__, because, function))
            return function

        return register

    # --- what follows from it ------------------------------------------------------------

    def built_cases(self) -> list[Case]:
        """The cases, built once."""
        if self._built is None:
            assert self._cases is not None, f"{self.name} has no cases"
            self._built = list(self._cases())
        return self._built

    def expectations(self) -> list[Any]:
        """What the oracle says on each case, computed once; None where there is no oracle."""
        if self._expected is None:
            assert self.oracle_function or self.properties, f"{self.name} has nothing to compare"
            self._expected = [self._expect(case) for case in self.built_cases()]
        return self._expected

    def _expect(self, case: Case) -> Any:
        if self.oracle_function is None:
            return None
        args, kwargs = case.inputs()
        return self.oracle_function(*args, **kwargs)

    @property
    def module(self) -> str:
        """The dotted name of the file that declares it."""
        assert self._cases is not None, f"{self.name} has no cases"
        return self._cases.__module__

    def parameters(self) -> list[str]:
        """The names of the arguments."""
        source = self.oracle_function or self.wrong_answers[0].function
        return list(inspect.signature(source).parameters)


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
