"""The process that judges: it reads what was handed in, and never runs a line of it.

    python -c "from circuits_course.classroom.judge import main; main()"

takes one submission after another from its input and gives back what is to be said of each. The
learner's code runs in a sandbox that this process starts; the checker runs here, on values that
came over as data.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from contextlib import suppress
from typing import Any

from circuits_course.checking.limits import limit_memory
from circuits_course.checking.outcome import Outcome, Result
from circuits_course.checks import load_checks
from circuits_course.classroom.cells import CellStep, read_cells
from circuits_course.classroom.progress_files import read_deeds
from circuits_course.classroom.remote import Gone, RemoteAnswer
from circuits_course.classroom.reports import Answer, Report, stands
from circuits_course.classroom.sandbox import Box
from circuits_course.classroom.wire import Listener, Nonsense, clean, receive, send
from circuits_course.errors import CourseError

LONGEST = 2000  # characters of a message
NOTEBOOK_SECONDS = 300.0  # by the clock on the wall, whatever a notebook says in between
MEMORY = 6_000_000_000  # bytes that judging may take, whatever comes over
MOST_TROUBLE = 10  # lines on one file


def main() -> None:
    """Judges what it is sent until its input ends; then it is gone, and its sandbox with it."""
    import torch

    torch.set_num_threads(1)
    limit_memory(MEMORY)
    own_input, own_output = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    jobs: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_listen, args=(own_input, jobs), daemon=True).start()
    send(own_output, {"ready": True})
    box: Box | None = None
    while True:
        job, tensors = jobs.get()
        box = box or Box(job["program"])
        _BOXES[:] = [box]
        content = tensors["content"].numpy().tobytes() if tensors else b""
        send(own_output, examine(job["name"], content, box, job["seconds"]).as_json())


_BOXES: list[Box] = []


def _listen(stream: Any, jobs: queue.Queue[Any]) -> None:
    """Hands on what arrives. Where the other end is gone, nobody waits for a verdict."""
    while True:
        try:
            jobs.put(receive(stream))
        except (EOFError, OSError, ValueError):
            _leave()


def _leave() -> None:
    for box in _BOXES:
        with suppress(Exception):
            box.close()
    os._exit(0)


# --- one submission ---------------------------------------------------------------------------


def examine(name: str, content: bytes, box: Box, seconds: float) -> Report:
    """What is to be said of a file. seconds: the longest that one exercise may take."""
    report = Report("", name)
    try:
        if name.lower().endswith(".sqlite"):
            _take_deeds(report, content)
        else:
            report.chapter, steps = read_cells(name, content)
            load_checks(report.chapter)
            _Hearing(report, steps, box, seconds).run()
    except CourseError as error:
        report.trouble.append(clean(error, LONGEST))
    return report


def _take_deeds(report: Report, content: bytes) -> None:
    deeds = read_deeds(content)
    report.answers, report.tries, report.hints = deeds.answers, deeds.tries, deeds.hints
    report.seen = deeds.seen
    report.sentences = [[*key, text] for key, text in deeds.sentences.items()]
    if not (report.answers or report.sentences or report.hints):
        report.trouble.append("the file holds no progress in this course")


class _Hearing:
    """One notebook: its process begins again after an exercise or a cell that ended it, without
    that one."""

    def __init__(self, report: Report, steps: list[CellStep], box: Box, seconds: float) -> None:
        assert report.chapter is not None
        self._report, self._steps, self._box, self._patience = report, steps, box, seconds
        self._exercises = load_checks(report.chapter).exercises
        self._end = time.monotonic() + NOTEBOOK_SECONDS
        self._skip: list[str] = []
        self._cell = 0
        self._at, self._exercise = "the start", ""
        self._checks = 0
        self._asks = any(step.exercises for step in steps)

    def run(self) -> None:
        while self._once():
            pass
        if not self._checks and not self._asks:
            self._trouble("no check of an exercise was found in it")

    def _trouble(self, line: str) -> None:
        if len(self._report.trouble) < MOST_TROUBLE:
            self._report.trouble.append(clean(line, LONGEST))

    def _once(self) -> bool:
        """Runs the notebook to its end or its process's; True if the rest is to be tried."""
        self._at, self._exercise, self._cell = "the start", "", 0
        said, stream = self._box.begin(str(self._report.chapter))
        steps = [[s.cell, s.source, s.exercises, s.broken] for s in self._steps]
        why = ""
        try:
            job = {"chapter": self._report.chapter, "skip": self._skip, "steps": steps}
            send(stream, job)
            self._listen(said, stream)
        except TimeoutError:
            why = f"took longer than {self._patience:.0f} s"
            if time.monotonic() > self._end:
                why = f"took longer than {NOTEBOOK_SECONDS:.0f} s in all"
        except Nonsense:
            why = "did not hand over what was asked for"
        except (EOFError, OSError):
            why = "ended its own process"
        ended = self._box.stop(gone=why.startswith("ended"))
        with suppress(OSError):
            stream.close()
        if self._at == "the end":
            return False
        return self._go_on(ended if why.startswith("ended") and ended else why)

    def _go_on(self, why: str) -> bool:
        name = self._exercise
        self._trouble(f"{name or self._at} {why}")
        ended = [step for step in self._steps if step.cell == self._cell and not name]
        if name in self._skip or not (name or ended):
            return False
        checked = [name] if name else [e for step in ended for e in step.exercises]
        for exercise in checked:
            self._crashed(exercise, f"✘ Your {'function' if name else 'cell'} {why}.")
        self._steps = [step for step in self._steps if step not in ended]
        self._skip = list(dict.fromkeys([*self._skip, *self._report.answers]))
        return time.monotonic() < self._end

    # --- what its process says ------------------------------------------------------------

    def _listen(self, said: Listener, stream: Any) -> None:
        # A first process may have to wait for the imports.
        self._left = self._patience + 60
        while self._at != "the end":
            message, tensors = self._next(said)
            kind = message.get("say")
            if kind == "cell":
                self._cell, self._exercise = _number(message.get("cell")), ""
                self._at = f"cell {self._cell}"
                self._left = self._patience
            elif kind == "check":
                self._check(message, tensors, said, stream)
            elif kind == "broken":
                self._crashed(str(message.get("exercise")), clean(message.get("text"), LONGEST))
            elif kind == "end":
                self._at = "the end"
            else:
                raise Nonsense("none of what can be said")

    def _next(self, said: Listener) -> tuple[dict[str, Any], Any]:
        """The next message, within the time of the exercise and of the notebook."""
        before = time.monotonic()
        heard = said.next(min(self._left, self._end - before))
        self._left -= time.monotonic() - before
        return heard

    def _crashed(self, name: str, text: str) -> None:
        if name in self._exercises and name not in self._skip:
            self._note(name, Answer(Outcome.CRASHED.name, text))

    def _note(self, name: str, answer: Answer) -> None:
        self._report.answers[name] = stands(self._report.answers.get(name), answer)

    def _check(self, message: dict[str, Any], tensors: Any, said: Listener, stream: Any) -> None:
        name = str(message.get("exercise"))
        if name not in self._exercises:
            raise Nonsense("no exercise")
        self._checks += 1
        self._exercise, self._left = name, self._patience
        exercise = self._exercises[name]
        answer = RemoteAnswer(exercise, message, tensors, lambda: self._next(said), stream)
        result = _judged(exercise, answer)
        if answer.gone is not None:
            raise answer.gone
        text = clean(result.text, LONGEST)
        self._note(name, Answer(result.outcome.name, text, result.diagnosis))
        self._exercise, self._left = "", self._patience
        send(stream, {"verdict": result.passed})


def _judged(exercise: Any, answer: RemoteAnswer) -> Result:
    try:
        return exercise.check(answer.subject)
    except Gone:
        return Result(exercise.name, Outcome.CRASHED, "")
    except Exception as error:  # values that no comparison was written for
        text = f"Wrong: your result cannot be compared ({type(error).__name__})."
        return Result(exercise.name, Outcome.WRONG, text)


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise Nonsense("no number")
    return value
