"""Checking a whole class: several notebooks at a time, here or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from circuits_course.classroom.cluster import on_cluster
from circuits_course.classroom.judges import Job, examine, interrupt_judges
from circuits_course.classroom.names import Roster
from circuits_course.classroom.reports import Answer, Report
from circuits_course.classroom.sandbox import require
from circuits_course.classroom.submissions import Submission, find_submissions
from circuits_course.errors import CourseError

EXERCISE_SECONDS = 20.0

__all__ = ["Answer", "Report", "check_folder"]


def check_folder(
    folder: Path,
    *,
    workers: int | None = None,
    exercise_seconds: float = EXERCISE_SECONDS,
    done: Callable[[int, int], None] = lambda _finished, _total: None,
    trust: bool = False,
    roster: Roster | None = None,
    cluster: str | None = None,
) -> list[Report]:
    """A report on every notebook, Python and progress file in a folder, in order of their names.

    workers: notebooks at a time (default: one per core). exercise_seconds: the longest that one
    exercise may take. done: called with how many of how many are finished. trust: run learners'
    code even where there is no sandbox for it. roster: the people that files are assigned to.
    cluster: the address of a Dask scheduler whose machines do the work. Raises CourseError where
    there is nothing to report on or no sandbox.
    """
    submissions = find_submissions(folder, roster)
    reports = [Report(s.learner, s.file) for s in submissions]
    program = None if cluster else require(trust).program  # there, each machine finds its own
    done(0, len(reports))
    jobs = (_job(s, program, exercise_seconds) for s in submissions)
    run = on_cluster(cluster, trust) if cluster else _here(workers)
    for finished, (index, found) in enumerate(run(jobs), 1):
        reports[index].take(found)
        done(finished, len(reports))
    return reports


def _job(submission: Submission, program: str | None, seconds: float) -> Job:
    job: Job = {"name": submission.name, "program": program, "seconds": seconds}
    try:
        return {**job, "content": submission.read()}
    except CourseError as error:
        return {**job, "content": b"", "trouble": str(error)}


def _here(workers: int | None) -> Callable[[Iterable[Job]], Iterator[tuple[int, Any]]]:
    def run(jobs: Iterable[Job]) -> Iterator[tuple[int, Any]]:
        count = max(1, workers or os.cpu_count() or 1)
        waiting: dict[Future[Any], int] = {}
        with ThreadPoolExecutor(count) as threads:
            try:
                for index, job in enumerate(jobs):
                    waiting[threads.submit(examine, job)] = index
                    while len(waiting) > 2 * count:  # not all files in memory at once
                        yield from _finished(waiting)
                while waiting:
                    yield from _finished(waiting)
            except BaseException:  # Ctrl-C: nobody waits for what is being judged
                threads.shutdown(wait=False, cancel_futures=True)
                interrupt_judges()
                raise

    return run


def _finished(waiting: dict[Future[Any], int]) -> Iterator[tuple[int, Any]]:
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        yield waiting.pop(future), future.result()
