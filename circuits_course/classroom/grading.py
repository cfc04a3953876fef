"""Checking a whole class: a process for each notebook, several at a time, each with its limits."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from circuits_course.checking.outcome import Outcome
from circuits_course.checks import load_checks, ready
from circuits_course.checks.chapters import chapter_name
from circuits_course.classroom import worker
from circuits_course.classroom.submissions import (
    CellStep,
    Submission,
    find_submissions,
    read_notebook,
)
from circuits_course.classroom.worker import LONGEST
from circuits_course.errors import CourseError
from circuits_course.notebook.progress import read_events

EXERCISE_SECONDS = 20.0
NOTEBOOK_SECONDS = 180
MESSAGE_BYTES = 100_000


@dataclass
class Answer:
    """What came of one exercise. outcome: a name of `Outcome`."""

    outcome: str
    text: str = ""
    diagnosis: str | None = None


@dataclass
class Report:
    """One submission. trouble: what went wrong with the file as a whole, one line each."""

    learner: str
    file: str
    chapter: str | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)


def check_folder(
    folder: Path,
    *,
    workers: int | None = None,
    exercise_seconds: float = EXERCISE_SECONDS,
    done: Callable[[int, int], None] = lambda _finished, _total: None,
) -> list[Report]:
    """A report on every notebook and progress file in a folder, in the order of their names.

    workers: processes at a time (default: one per core). exercise_seconds: the longest that one
    exercise may take. done: called with how many of how many are finished. Raises CourseError where
    there is nothing to report on.
    """
    submissions = find_submissions(folder)
    reports = [Report(s.learner, str(s.path.relative_to(folder))) for s in submissions]
    with tempfile.TemporaryDirectory(prefix="circuits-course-report-") as scratch:
        jobs = [job for pair in zip(submissions, reports, strict=True) for job in _jobs(*pair)]
        finished = len(reports) - len(jobs)
        done(finished, len(reports))
        pool = _Pool(Path(scratch), workers or os.cpu_count() or 1, exercise_seconds)
        for _ in pool.run(jobs):
            finished += 1
            done(finished, len(reports))
    return reports


# --- what can be told without running anything -----------------------------------------------


@dataclass
class _Job:
    report: Report
    steps: list[CellStep]
    skip: list[str] = field(default_factory=list)


def _jobs(submission: Submission, report: Report) -> list[_Job]:
    """The job that a notebook makes; none for a progress file or where nothing can be read."""
    try:
        if submission.path.suffix == ".sqlite":
            _read_progress(submission.path, report)
            return []
        report.chapter, steps = read_notebook(submission.path)
        load_checks(report.chapter)
        return [_Job(report, steps)]
    except (CourseError, OSError) as error:
        report.trouble.append(str(error))
        return []


def _read_progress(path: Path, report: Report) -> None:
    """The last outcome of each exercise, "passed" once passed, of every chapter in the file."""
    events = [event for event in read_events(path) if event.kind == "check"]
    for event in events:
        outcome = event.detail.get("outcome")
        if not _is_known(event.chapter, event.item) or str(outcome) not in Outcome.__members__:
            continue
        name = f"{event.chapter}: {event.item}"
        before = report.answers.get(name)
        if before is None or before.outcome != Outcome.PASSED.name:
            report.answers[name] = Answer(str(outcome), "", event.detail.get("diagnosis"))


def _is_known(chapter: str, exercise: str) -> bool:
    return chapter in ready() and exercise in load_checks(chapter).exercises


# --- running ---------------------------------------------------------------------------------


@dataclass
class _Running:
    job: _Job
    process: Any
    pipe: Connection
    deadline: float
    at: str = "the start"
    exercise: str | None = None


class _Pool:
    """So many jobs at a time, each in a process of its own that is ended when it takes too long."""

    def __init__(self, scratch: Path, workers: int, exercise_seconds: float) -> None:
        self.scratch, self.workers, self.patience = scratch, workers, exercise_seconds
        server = "forkserver" in multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if server else "spawn")
        if server:
            self.context.set_forkserver_preload([worker.__name__, *worker.CHECKS])
        self.running: list[_Running] = []

    def run(self, jobs: Iterable[_Job]) -> Iterable[_Job]:
        """Yields jobs as they end."""
        waiting = list(reversed(list(jobs)))
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self.workers:
                    self.running.append(self._start(waiting.pop()))
                for ended in self._turn():
                    again = self._close(ended)
                    if again:
                        waiting.append(ended.job)
                    else:
                        yield ended.job
        finally:
            for left in self.running:
                left.process.kill()

    def _start(self, job: _Job) -> _Running:
        mine, theirs = self.context.Pipe(duplex=False)
        scratch = tempfile.mkdtemp(dir=self.scratch)
        assert job.report.chapter is not None
        arguments = (theirs, job.report.chapter, job.steps, job.skip, scratch, NOTEBOOK_SECONDS)
        process = self.context.Process(target=worker.work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        # A first process may have to wait for the imports.
        return _Running(job, process, mine, time.monotonic() + self.patience + 60)

    def _turn(self) -> list[_Running]:
        """Hears what there is to hear; returns those that have ended or run out of time."""
        soonest = min(running.deadline for running in self.running)
        ready = wait([r.pipe for r in self.running], max(0.0, soonest - time.monotonic()))
        over = [r for r in self.running if r.pipe in ready and not self._hear(r)]
        now = time.monotonic()
        over += [r for r in self.running if r not in over and now > r.deadline]
        self.running = [r for r in self.running if r not in over]
        return over

    def _hear(self, running: _Running) -> bool:
        """One message; False if there are no more."""
        try:
            message = json.loads(running.pipe.recv_bytes(MESSAGE_BYTES))
            _note(running, message)
        except (EOFError, OSError):
            return False
        except (ValueError, KeyError, TypeError):
            running.job.report.trouble.append("its process sent nonsense")
            return False
        running.deadline = time.monotonic() + self.patience
        return message["kind"] != "end"

    def _close(self, ended: _Running) -> bool:
        """Ends a process and says why if it was not at its end; True if the rest is to be tried."""
        late = time.monotonic() > ended.deadline
        ended.process.join(0 if late else 2)
        ended.process.kill()
        ended.process.join()
        ended.pipe.close()
        if ended.at == "the end":
            return False
        code = ended.process.exitcode or 0
        why = (
            f"took longer than {self.patience:.0f} s"
            if late
            else "ended its own process"
            if code >= 0
            else f"was stopped by the system (signal {-code})"
        )
        report, exercise = ended.job.report, ended.exercise
        if exercise is None or exercise in ended.job.skip:
            report.trouble.append(f"{ended.at} {why}")
            return False
        report.trouble.append(f"{exercise} {why}")
        report.answers[exercise] = Answer(Outcome.CRASHED.name, f"✘ Your function {why}.")
        ended.job.skip = [*ended.job.skip, *report.answers]
        return True


def _note(running: _Running, message: dict[str, Any]) -> None:
    """Takes over what a process says; it is not to be trusted."""
    kind = message["kind"]
    if kind == "cell":
        running.at, running.exercise = f"cell {int(message['cell'])}", None
    elif kind == "begin":
        running.exercise = _known(running, message["exercise"])
    elif kind == "result":
        exercise = _known(running, message["exercise"])
        diagnosis = message["diagnosis"]
        running.job.report.answers[exercise] = Answer(
            Outcome[message["outcome"]].name,
            str(message["text"])[:LONGEST],
            None if diagnosis is None else str(diagnosis),
        )
        running.exercise = None
    elif kind == "end":
        running.at = "the end"


def _known(running: _Running, name: Any) -> str:
    chapter = chapter_name(running.job.report.chapter or "")
    if name not in load_checks(chapter).exercises:
        raise KeyError(name)
    return str(name)
