"""Checking a file of answers in a process of its own, so that nothing in it can end the command."""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits_course.errors import CourseError

if TYPE_CHECKING:
    from circuits_course.notebook.chapter import Chapter


@dataclass(frozen=True)
class Checked:
    """What came of one exercise in the file; `text` is what a learner reads."""

    exercise: str
    passed: bool
    text: str


def check_file(chapter: str, file: Path, exercise: str | None = None) -> tuple[list[Checked], int]:
    """What came of every exercise of a chapter that the file answers, in the chapter's order, and
    how many there were to answer.

    exercise: this one only. Raises CourseError where chapter, exercise or file do not exist, where
    the file does not run or answers nothing, or where it ends the process.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send_results, args=(theirs, chapter, file, exercise))
    process.start()
    theirs.close()
    try:
        found, asked = mine.recv()
    except EOFError:
        process.join()
        raise CourseError(
            f"{file} ended Python (exit code {process.exitcode}) before its answers were checked; "
            "take out what does that: os._exit, or a crash in compiled code."
        ) from None
    process.join()
    if isinstance(found, str):
        raise CourseError(found)
    return found, asked


def _send_results(pipe: Connection, chapter: str, file: Path, exercise: str | None) -> None:
    """Sends what came of the answers, or one line on why none came."""
    from circuits_course.notebook.chapter import (
        Chapter,
    )  # and torch, which the sender can do without

    try:
        pipe.send(_results(Chapter(chapter), file, exercise))
    except CourseError as error:
        pipe.send((str(error), 0))


def _results(chapter: Chapter, file: Path, exercise: str | None) -> tuple[list[Checked], int]:
    if exercise:
        chapter.checks.find_exercise(exercise)
    names = [exercise] if exercise else list(chapter.checks.exercises)
    answers = vars(_load(file))
    results = [chapter.result(answers[name], name) for name in names if name in answers]
    if not results:
        raise CourseError(f"{file} defines none of: {', '.join(names)}.")
    return [Checked(r.exercise, r.passed, r.text) for r in results], len(names)


def _load(file: Path) -> Any:
    """A learner's file as a module; what goes wrong in it is told in one line."""
    if not file.is_file():
        raise CourseError(f"There is no file {file}.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise CourseError(f"{file} is not a Python file; its name should end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CourseError(f"{file} does not run: {reason}") from error
    finally:
        sys.path.pop(0)
    return module
