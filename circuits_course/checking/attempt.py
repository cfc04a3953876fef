"""Running a learner's function: was it written at all, what did it return or raise, and what did
it leave behind on a model."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any, TypeGuard

from torch import nn

from circuits_course.checking.guard import ModelHarmed, from_seed_0, settings_kept, unharmed


@dataclass(frozen=True)
class Raised:
    """An exception that an attempt raised.

    text: "IndexError: ...". trace: from the learner's own line on. is_stub: it was the stub's own
    NotImplementedError. stops: no use in trying further cases (the learner interrupted it).
    harm: it ran, but left a model changed.
    """

    text: str
    trace: str = ""
    is_stub: bool = False
    stops: bool = False
    harm: bool = False


class Elsewhere:
    """An answer that lives in another process, which hands back values and nothing else.

    Calling it calls the function there, and raises what it raised there.
    """

    source: str | None = None
    """Its text, None where that could not be had."""

    def run(self, case: Any) -> tuple[Any, str | None]:
        """What it returns or `Raised` on a case, and a complaint where it changed an input."""
        raise NotImplementedError

    def live_trial(self, name: str, case: Any) -> Any:
        """What the trial of that name complains of there, None, or `Raised`."""
        raise NotImplementedError

    def begin_trial(self) -> None:
        """The next call starts from seed 0, those after it go on from there."""
        raise NotImplementedError


def run_attempt(attempt: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the attempt returns, or what it `Raised`; an interrupt counts as raised.

    The random state outside is left as it was; inside it starts from seed 0, so that the same
    attempt gives the same output twice.
    """
    models = [a for a in (*args, *kwargs.values()) if isinstance(a, nn.Module)]
    try:
        with settings_kept(), unharmed(models):
            from_seed_0()
            return attempt(*args, **kwargs)
    except KeyboardInterrupt as error:
        line = _own_frames(error.__traceback__, _code(attempt))
        return Raised("", _trace(line), stops=True)
    except BaseException as error:
        return _raised(error, attempt)


def _raised(error: BaseException, attempt: Callable[..., Any]) -> Raised:
    frames = _own_frames(error.__traceback__, _code(attempt))
    message = _message(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    stub = isinstance(error, NotImplementedError) and _raised_by_stub_line(error, frames)
    harm = isinstance(error, ModelHarmed)
    return Raised(_message(error) if harm else text.rstrip("."), _trace(frames), stub, harm=harm)


def _message(error: BaseException) -> str:
    """What an exception says; some cannot even do that."""
    try:
        return str(error)
    except Exception:
        return "an exception that cannot be printed"


# --- was it written at all --------------------------------------------------------------------


def is_stub(attempt: Callable[..., Any]) -> bool:
    """Whether nothing was written: a body of docstring, `pass`, `...` or
    `raise NotImplementedError` alone. False where the source cannot be had."""
    body = _body(attempt)
    return body is not None and all(_idle(statement) for statement in body)


def _idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.unparse(statement)
    if isinstance(statement, ast.Return):
        return statement.value is None or _is_ellipsis(statement.value)
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)


def blanks_left(attempt: Callable[..., Any]) -> list[int]:
    """Lines, counted from the `def`, that are still a `...` to fill."""
    tree = _tree(attempt)
    if tree is None:
        return []
    return [node.lineno for node in ast.walk(tree) if _is_blank(node)]


def leaves_stub_line(attempt: Callable[..., Any]) -> str | None:
    """What is left of the stub in a function that has been begun, as a sentence."""
    if is_stub(attempt):
        return None
    blanks = blanks_left(attempt)
    if blanks:
        return f"There is still a `...` to fill, in line {blanks[0]} of your function."
    return (
        "Your function still reaches `raise NotImplementedError`: delete that line once your "
        "own code returns the result."
    )


def _is_blank(node: ast.AST) -> TypeGuard[ast.stmt]:
    if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
        return node.value is not None and _is_ellipsis(node.value)
    return False


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _raised_by_stub_line(error: BaseException, own: list[traceback.FrameSummary]) -> bool:
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    line = innermost.line or "raise NotImplementedError"
    return bool(own) and own[-1] == innermost and line.startswith("raise NotImplementedError")


def _tree(attempt: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(source_of(attempt)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None


def source_of(attempt: Callable[..., Any]) -> str:
    """The text of a function. Raises OSError or TypeError where it cannot be had."""
    if isinstance(attempt, Elsewhere):
        if attempt.source is None:
            raise OSError("no source")
        return attempt.source
    return inspect.getsource(inspect.unwrap(attempt))


def _body(attempt: Callable[..., Any]) -> list[ast.stmt] | None:
    tree = _tree(attempt)
    if not isinstance(tree, ast.Module) or not tree.body:
        return None
    return tree.body[0].body if isinstance(tree.body[0], ast.FunctionDef) else None


def _code(attempt: Callable[..., Any]) -> CodeType | None:
    return getattr(inspect.unwrap(attempt), "__code__", None)


# --- traces -----------------------------------------------------------------------------------


def _own_frames(trace: TracebackType | None, code: CodeType | None) -> list[traceback.FrameSummary]:
    """The frames in the file (notebook cell) that the attempt was written in."""
    frames = traceback.extract_tb(trace)
    if code is None:
        return frames[-1:]
    linecache.checkcache(code.co_filename)
    return [frame for frame in frames if frame.filename == code.co_filename]


def _trace(frames: list[traceback.FrameSummary]) -> str:
    return "\n".join(f"  in {frame.name}, line {frame.lineno}: {frame.line}" for frame in frames)
