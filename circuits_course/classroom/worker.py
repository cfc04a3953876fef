"""Inside the sandbox: runs one learner's cells and answers, and hands values to the judge.

Nothing that this process says is believed. It says which answer it is asked to check, serves calls
of that function on the judge's cases, and is told whether the notebook goes on with it.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import types
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any, BinaryIO

import circuits_course
import circuits_course.notebook
from circuits_course.checking import limits
from circuits_course.checking.attempt import Raised, run_attempt
from circuits_course.checking.guard import from_seed_0, settings_kept
from circuits_course.checking.running import run_once
from circuits_course.checks import load_checks
from circuits_course.checks.references import load_reference
from circuits_course.classroom.cells import CellStep, lines_of
from circuits_course.classroom.wire import Packer, TooLarge, Unpacker, receive, send
from circuits_course.errors import CourseError, UnknownName
from circuits_course.storage import source_dir

LONGEST_SOURCE = 100_000
SECONDS = 300  # of processor time


def warm(chapter: str) -> None:
    """Imports a chapter and builds its cases, for all the processes to come."""
    load_reference(chapter)
    for exercise in load_checks(chapter).exercises.values():
        exercise.built_cases()


@cache
def rehearse(chapter: str) -> None:
    """Imports what the chapter's notebook does and checks the course's own answers once.

    Whatever is loaded and prepared on the way, every process forked from this one finds ready.
    """
    warm(chapter)
    source = (source_dir("exercises") / f"{chapter}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), chapter, "exec"), {})
    reference = vars(load_reference(chapter))
    for name, exercise in load_checks(chapter).exercises.items():
        exercise.check(reference[name])


# --- one learner's process --------------------------------------------------------------------


def serve(reader: BinaryIO, writer: BinaryIO) -> None:
    """Runs the notebook that the first message brings."""
    job, _ = receive(reader)
    warm(job["chapter"])
    learner = Learner(reader, writer, job["chapter"], job["skip"])
    limits.limit(SECONDS)
    limits.refuse_calls()
    for number, source, exercises, broken in job["steps"]:
        learner.run(CellStep(number, source, tuple(exercises), broken))
    learner.say({"say": "end"})


class Learner:
    """A notebook's namespace, and the `chapter` in it."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, chapter: str, skip: list[str]) -> None:
        self._reader, self._writer = reader, writer
        self._exercises = load_checks(chapter).exercises
        self._reference, self._skip = vars(load_reference(chapter)), skip
        self._seen: set[str] = set()
        self._busy = False
        stand_in = _StandIn(self)
        _hand_out(stand_in)
        self._main = types.ModuleType("__main__")
        self._main.__dict__.update(chapter=stand_in)
        sys.modules["__main__"] = self._main

    def say(self, message: dict[str, Any], tensors: Any = None) -> None:
        send(self._writer, message, tensors)

    def hear(self) -> tuple[dict[str, Any], Any]:
        return receive(self._reader)

    def run(self, step: CellStep) -> None:
        """Runs what is kept of one cell."""
        if step.broken:
            self._broken(step, step.broken)
            return
        name = f"<cell {step.cell}>"
        linecache.cache[name] = (len(step.source), None, lines_of(step.source), name)
        self.say({"say": "cell", "cell": step.cell})
        for statement in ast.parse(step.source).body:
            try:
                exec(compile(ast.Module([statement], []), name, "exec"), self._main.__dict__)
            except CourseError:
                continue  # a check of something that is no exercise
            except BaseException as error:  # what matters, an exercise misses
                self._broken(step, f"{type(error).__name__}: {_text(error)}")

    def _broken(self, step: CellStep, text: str) -> None:
        """A cell that fails before it gets to its check."""
        if not set(step.exercises) & self._seen:
            for exercise in step.exercises:
                self.say({"say": "broken", "exercise": exercise, "text": text[:2000]})

    # --- checks ---------------------------------------------------------------------------

    def check(self, answer: Any, name: str) -> Any:
        """The answer if the judge passes it, else the reference."""
        if name not in self._exercises:
            raise UnknownName("exercise", name, self._exercises)
        self._seen.add(name)
        if name in self._skip:
            return self._reference[name]
        if self._busy:
            raise CourseError("An answer is being checked already.")
        self._busy = True
        try:
            passed = _Serving(self, self._exercises[name], answer).until_judged()
        finally:
            self._busy = False
        return answer if passed else self._reference[name]


class _Serving:
    """Serves calls of one answer until the judge has made up its mind."""

    def __init__(self, learner: Learner, exercise: Any, answer: Any) -> None:
        self._learner, self._exercise, self._answer = learner, exercise, answer
        self._functions: list[Callable[..., Any]] = []
        self._trial = ExitStack()
        self._case: Any = None

    def until_judged(self) -> bool:
        self._hand_over({"say": "check", "exercise": self._exercise.name, **self._about()})
        while True:
            request, tensors = self._learner.hear()
            if "verdict" in request:
                self._trial.close()
                return bool(request["verdict"])
            if "trial" in request:
                self._run_trial(request["trial"], int(request["case"]))
            elif "case" in request:
                self._run_case(int(request["case"]))
            else:
                self._call(request, tensors)

    def _about(self) -> dict[str, Any]:
        answer = self._answer
        if not callable(answer):
            return {"value": answer}
        return {
            "name": str(getattr(answer, "__name__", type(answer).__name__))[:200],
            "source": _source(answer),
            "signature": _signature(answer),
        }

    def _run_case(self, index: int) -> None:
        self._trial.close()
        self._case = self._exercise.built_cases()[index]
        output, changed = run_once(self._exercise, self._answer, self._case)
        if type(output) is Raised:
            self._hand_over({"raised": vars(output)})
        else:
            self._hand_over({"value": output, "changed": changed})

    def _run_trial(self, name: str, index: int) -> None:
        self._trial.close()
        prop = next(prop for prop in self._exercise.properties if prop.name == name)
        args, kwargs = self._exercise.built_cases()[index].inputs()
        complaint = run_attempt(prop.check, (self._answer, *args), kwargs)
        if type(complaint) is Raised:
            self._hand_over({"raised": vars(complaint)})
        else:
            self._hand_over({"value": complaint})

    def _call(self, request: dict[str, Any], tensors: Any) -> None:
        """A call outside the cases: of the answer, or of a function within a value it returned."""
        if request.get("begin"):
            self._trial.close()
            self._trial.enter_context(settings_kept())
            from_seed_0()
        number = request["function"]
        function = self._answer if number is None else self._functions[number]
        args, kwargs = self._arguments(request, tensors)
        try:
            self._hand_over({"value": function(*args, **kwargs)})
        except BaseException as error:
            self._hand_over({"raised": {"text": f"{type(error).__name__}: {_text(error)}"}})

    def _arguments(self, request: dict[str, Any], tensors: Any) -> tuple[list[Any], dict[str, Any]]:
        unpacker = Unpacker(tensors)

        def argument(packed: Any) -> Any:
            if isinstance(packed, dict) and "input" in packed:
                key = packed["input"]
                return self._case.args[key] if isinstance(key, int) else self._case.kwargs[key]
            return unpacker.unpack(packed)

        args = [argument(packed) for packed in request["args"]]
        return args, {name: argument(packed) for name, packed in request["kwargs"].items()}

    def _hand_over(self, message: dict[str, Any]) -> None:
        packer = Packer()
        packer.functions = self._functions
        try:
            if "value" in message:
                message["value"] = packer.pack(message["value"])
            self._learner.say(message, packer.tensors)
        except Exception as error:  # too large, or an object that refuses to be looked at
            kind = "ValueError" if isinstance(error, TooLarge) else type(error).__name__
            self._learner.say({**message, "value": None, "raised": {"text": f"{kind}: {error}"}})


class _StandIn:
    """Stands for the notebook's `chapter`: checks, and otherwise says nothing."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def check(self, answer: Any, name: str | None = None) -> Any:
        """As `Chapter.check`."""
        return self._learner.check(answer, str(name or getattr(answer, "__name__", answer)))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_kwargs: None


def _hand_out(stand_in: _StandIn) -> None:
    """Whatever way a notebook makes its chapter, it gets the stand-in."""
    for module in (circuits_course, circuits_course.notebook):
        module.__dict__["Chapter"] = lambda *_args, **_kwargs: stand_in


def _source(answer: Any) -> str | None:
    try:
        return inspect.getsource(inspect.unwrap(answer))[:LONGEST_SOURCE]
    except Exception:
        return None


def _signature(answer: Any) -> list[list[Any]] | None:
    """Name, kind, default and annotation as texts, of each parameter."""
    empty = inspect.Parameter.empty
    try:
        parameters = inspect.signature(answer).parameters.values()
        return [
            [p.name, int(p.kind), None if p.default is empty else repr(p.default)[:200],
             None if p.annotation is empty else inspect.formatannotation(p.annotation)[:200]]
            for p in parameters
        ]  # fmt: skip
    except Exception:
        return None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "an exception that cannot be printed"
