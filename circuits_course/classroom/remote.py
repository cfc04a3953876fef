"""A learner's answer as the judge sees it: values come back from its process, and nothing else."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import nn

from circuits_course.checking.attempt import Elsewhere, Raised
from circuits_course.classroom.wire import Nonsense, Packer, Tensors, Unpacker, clean, send

LONGEST = 2000  # characters of what an exception says


class Gone(BaseException):
    """The learner's process is no longer there to be asked."""


class RemoteAnswer:
    """What a learner's process hands in for one exercise.

    subject: what is to be checked, a function that runs there or whatever else it handed in.
    gone: why its process can no longer be asked, None while it can.
    """

    def __init__(
        self,
        exercise: Any,
        about: dict[str, Any],
        tensors: Tensors,
        hear: Callable[[], tuple[dict[str, Any], Tensors]],
        stream: Any,
    ) -> None:
        self._exercise, self._hear, self._stream = exercise, hear, stream
        self.gone: Exception | None = None
        self.case: Any = None
        self.subject: Any = _Function(self, about)
        if "value" in about:
            with suppress(Gone):
                self.subject = self._value(about["value"], tensors)

    def run(self, case: Any) -> tuple[Any, str | None]:
        """What the answer returns or raises on a case, and which input it changed."""
        self.case = case
        index = next(i for i, c in enumerate(self._exercise.built_cases()) if c is case)
        reply, tensors = self._ask({"case": index})
        if "raised" in reply:
            return _raised(reply["raised"]), None
        changed = reply.get("changed")
        return self._value(reply.get("value"), tensors), changed and clean(changed, LONGEST)

    def live_trial(self, name: str, case: Any) -> Any:
        """What a trial complains of that runs where the answer does."""
        index = next(i for i, c in enumerate(self._exercise.built_cases()) if c is case)
        reply, _ = self._ask({"case": index, "trial": name})
        if "raised" in reply:
            return _raised(reply["raised"])
        complaint = reply.get("value")
        return clean(complaint, LONGEST) if isinstance(complaint, str) else None

    def call(self, number: int | None, begin: bool, args: Any, kwargs: Any) -> Any:
        """Calls the answer (None) or a function within what it returned; raises what it raised."""
        packer = Packer()
        request = {
            "function": number,
            "begin": begin,
            "args": [self._argument(packer, value) for value in args],
            "kwargs": {name: self._argument(packer, value) for name, value in kwargs.items()},
        }
        reply, tensors = self._ask(request, packer.tensors)
        if "raised" in reply:
            raise _exception(_raised(reply["raised"]).text)
        return self._value(reply.get("value"), tensors)

    def _argument(self, packer: Packer, value: Any) -> Any:
        """Data as data; a model or a function as the input of the case that it is."""
        inputs = [*enumerate(self.case.args), *self.case.kwargs.items()] if self.case else []
        if callable(value) or isinstance(value, nn.Module):
            for key, given in inputs:
                if given is value:
                    return {"input": key}
        return packer.pack(value)

    def _value(self, packed: Any, tensors: Tensors) -> Any:
        try:
            return Unpacker(tensors, lambda number, name: self._function(number, name)).unpack(
                packed
            )
        except Nonsense as error:
            self.gone = error
            raise Gone from None

    def _function(self, number: int, name: str) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            return self.call(number, False, args, kwargs)

        function.__name__ = clean(name, 200)
        return function

    def _ask(
        self, request: dict[str, Any], tensors: Tensors | None = None
    ) -> tuple[dict[str, Any], Tensors]:
        if self.gone is not None:
            raise Gone
        try:
            send(self._stream, request, tensors)
            reply, found = self._hear()
            if "say" in reply:
                raise Nonsense("asks while it is asked")
            return reply, found
        except (TimeoutError, EOFError, OSError, Nonsense) as error:
            self.gone = error
            raise Gone from None


class _Function(Elsewhere):
    """A function that runs in the learner's process."""

    def __init__(self, answer: RemoteAnswer, about: dict[str, Any]) -> None:
        self._answer, self._begin = answer, False
        self.__name__ = clean(about.get("name"), 200)
        self.source = _source(about.get("source"))
        signature = _signature(about.get("signature"))
        if signature is not None:
            self.__signature__ = signature

    def run(self, case: Any) -> tuple[Any, str | None]:
        return self._answer.run(case)

    def live_trial(self, name: str, case: Any) -> Any:
        return self._answer.live_trial(name, case)

    def begin_trial(self) -> None:
        self._begin = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        begin, self._begin = self._begin, False
        return self._answer.call(None, begin, args, kwargs)


def _raised(about: Any) -> Raised:
    about = about if isinstance(about, dict) else {}
    text, trace = clean(about.get("text", ""), LONGEST), clean(about.get("trace", ""), LONGEST)
    flags = {name: about.get(name) is True for name in ("is_stub", "stops", "harm")}
    return Raised(text, trace, **flags)


def _exception(text: str) -> Exception:
    """An exception of that type, where it is one of Python's own, or else of that name."""
    name, _, message = text.partition(": ")
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception):
        try:
            return known(message)
        except TypeError:  # those that want more than a text
            pass
    return type(name if name.isidentifier() else "Exception", (RuntimeError,), {})(message)


def _source(text: Any) -> str | None:
    """A function's text, where it can be read without harm."""
    if not isinstance(text, str):
        return None
    try:
        ast.unparse(ast.parse(textwrap.dedent(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return clean(text)


class _Shown:
    """A default or an annotation, of which only the text came over."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(parameters: Any) -> inspect.Signature | None:
    empty = inspect.Parameter.empty
    try:
        return inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect._ParameterKind(kind),
                    default=empty if default is None else _Shown(clean(default, 200)),
                    annotation=empty if note is None else _Shown(clean(note, 200)),
                )
                for name, kind, default, note in parameters[:50]
            ]
        )
    except (TypeError, ValueError, AttributeError, KeyError):
        return None
