"""A class checked on a cluster of two workers, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from classroom.notebooks import CHAPTER, RIGHT, attack, in_a_sandbox, notebook

from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.report_page import page
from circuits_course.errors import CourseError

distributed = pytest.importorskip("distributed")
NOTEBOOKS = 12


@pytest.fixture
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        yield made


@in_a_sandbox
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(tmp_path, cluster):
    slow = attack("import time\ntime.sleep(0.5)\nreturn None")
    for number in range(NOTEBOOKS):
        notebook(tmp_path / f"learner_{number}_{CHAPTER}.ipynb", RIGHT, slow)
    here = check_folder(tmp_path, workers=1)
    seen, killed = [], threading.Event()

    def done(finished, total):
        seen.append(finished)
        if finished == 3 and not killed.is_set():
            killed.set()
            worker = next(iter(cluster.workers.values()))
            os.kill(worker.process.pid, signal.SIGKILL)

    there = check_folder(tmp_path, cluster=cluster.scheduler_address, done=done)
    assert killed.is_set()
    assert seen == list(range(NOTEBOOKS + 1)), "each is counted once"
    assert [r.learner for r in there] == [r.learner for r in here]
    assert page(there) == page(here)
    assert not any(report.trouble for report in there)


def test_an_address_where_nobody_answers(tmp_path, monkeypatch):
    notebook(tmp_path / "ann.ipynb", RIGHT)
    monkeypatch.setattr("circuits_course.classroom.cluster.CONNECTING", 1)
    start = time.monotonic()
    with pytest.raises(CourseError, match="No Dask scheduler"):
        check_folder(tmp_path, cluster="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 20
