"""Checking a whole class: several notebooks at a time, here or on a cluster."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from circuits_course.checks.chapters import CHAPTERS
from circuits_course.classroom.cluster import on_cluster
from circuits_course.classroom.judges import Job, examine, interrupt_judges
from circuits_course.classroom.names import Roster
from circuits_course.classroom.reports import Answer, Report
from circuits_course.classroom.sandbox import require
from circuits_course.classroom.submissions import Submission, find_submissions
from circuits_course.errors import CourseError

EXERCISE_SECONDS = 20.0
_LATENESS = {chapter: number for number, chapter in enumerate(CHAPTERS)}

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

    def job(index: int) -> Job:
        return _job(submissions[index], program, exercise_seconds)

    if cluster:
        coming = on_cluster(cluster, trust)(map(job, range(len(submissions))))
    else:
        coming = _here(workers, [_topic(s) for s in submissions], job)
    for finished, (index, found) in enumerate(coming, 1):
        reports[index].take(found)
        done(finished, len(reports))
    return reports


def _job(submission: Submission, program: str | None, seconds: float) -> Job:
    job: Job = {"name": submission.name, "program": program, "seconds": seconds,
                "topic": _topic(submission)}  # fmt: skip
    try:
        return {**job, "content": submission.read()}
    except CourseError as error:
        return {**job, "content": b"", "trouble": str(error)}


def _topic(submission: Submission) -> str:
    """The chapter, as far as a file's name says it; only used to do what is alike together."""
    return next((chapter for chapter in CHAPTERS if chapter in submission.file), "")


def _here(
    workers: int | None, topics: Sequence[str], job: Callable[[int], Job]
) -> Iterator[tuple[int, Any]]:
    """(index, verdict) of each file as they come. job: reads the file of an index."""
    order = _Order(topics)
    waiting: dict[Future[Any], int] = {}
    count = max(1, workers or os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as threads:

        def begin(after: str = "") -> None:
            index = order.following(after)
            if index is not None:
                waiting[threads.submit(examine, job(index))] = index

        try:
            for _ in range(count):
                begin()
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    index = waiting.pop(future)
                    begin(topics[index])
                    yield index, future.result()
        except BaseException:  # Ctrl-C: nobody waits for what is being judged
            threads.shutdown(wait=False, cancel_futures=True)
            interrupt_judges()
            raise


class _Order:
    """Which file a worker takes next: one on the chapter that it has prepared, while there is one.

    Preparing a chapter takes seconds, so workers share one only where no other is left. The longest
    come first: with short ones at the end nobody waits long for the last worker.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._left: dict[str, deque[int]] = {topic: deque() for topic in topics}
        for index, topic in enumerate(topics):
            self._left[topic].append(index)
        self._at: Counter[str] = Counter()

    def following(self, after: str) -> int | None:
        """The next file's index; None where all have been taken. after: the worker's last topic."""
        self._at[after] = max(0, self._at[after] - 1)
        left = [topic for topic, files in self._left.items() if files]
        if not left:
            return None
        topic = after if after in left else max(left, key=self._urgency)
        self._at[topic] += 1
        return self._left[topic].popleft()

    def _urgency(self, topic: str) -> tuple[bool, float]:
        """Whether nobody is at a topic, then how much of it there is for each who would be."""
        length = 1 + _LATENESS.get(topic, 0)  # later chapters take longer
        return not self._at[topic], length * len(self._left[topic]) / (1 + self._at[topic])
