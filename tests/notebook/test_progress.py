"""Progress survives kills, damage, refusals and two writers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from circuits_course.errors import CourseError
from circuits_course.notebook.progress import Progress


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "progress.sqlite"


def test_events_come_back_in_order(path, warnings):
    progress = Progress(path, warnings.append)
    progress.record("04", "f", "check", outcome="WRONG", diagnosis="off_by_one")
    progress.record("04", "f", "hint", number=1)
    progress.record("05", "g", "check", outcome="PASSED", diagnosis=None)
    again = Progress(path, warnings.append)
    assert [(e.chapter, e.item, e.kind) for e in again.events()] == [
        ("04", "f", "check"),
        ("04", "f", "hint"),
        ("05", "g", "check"),
    ]
    assert again.events("04", "check")[0].detail == {"outcome": "WRONG", "diagnosis": "off_by_one"}
    assert not warnings


def test_a_damaged_file_is_set_aside_and_reported(path, warnings):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database" * 100)
    progress = Progress(path, warnings.append)
    progress.record("04", "f", "check", outcome="PASSED")
    assert len(warnings) == 1
    assert "damaged" in warnings[0]
    (aside,) = path.parent.glob("progress.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert len(Progress(path, warnings.append).events()) == 1


def test_a_file_damaged_while_open_is_set_aside(path, warnings):
    progress = Progress(path, warnings.append)
    progress.record("04", "f", "check", outcome="WRONG")
    path.write_bytes(b"garbage" * 2000)
    progress.record("04", "f", "check", outcome="PASSED")
    assert progress.events()[-1].detail["outcome"] == "PASSED"
    assert len(warnings) == 1


def test_a_truncated_file_is_not_fatal(path, warnings):
    progress = Progress(path, warnings.append)
    for number in range(200):
        progress.record("04", "f", "hint", number=number)
    progress.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    again = Progress(path, warnings.append)
    again.record("04", "f", "check", outcome="PASSED")
    assert again.events()[-1].detail == {"outcome": "PASSED"}


def test_a_table_of_another_shape_is_not_fatal(path, warnings):
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE event (id INTEGER)")
    progress = Progress(path, warnings.append)
    progress.record("04", "f", "check", outcome="PASSED")
    assert len(progress.events()) == 1
    assert len(warnings) == 1


def test_where_nothing_can_be_written_memory_takes_over(tmp_path, warnings):
    blocked = tmp_path / "a_file"
    blocked.write_text("not a folder")
    progress = Progress(blocked / "progress.sqlite", warnings.append)
    progress.record("04", "f", "check", outcome="PASSED")
    assert len(progress.events()) == 1
    assert "CIRCUITS_COURSE_HOME" in warnings[0]


def test_a_full_disk_is_told_in_one_line(path, warnings):
    progress = Progress(path, warnings.append)
    pages = progress._connection.execute("PRAGMA page_count").fetchone()[0]
    progress._connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(300):
        progress.record("04", "f", "explain", answer="x" * 1000 + str(number))
    assert len(warnings) == 1
    assert "\n" not in warnings[0]
    assert progress.events()[-1].detail["answer"].endswith("299")


WRITER = """
import sys
from pathlib import Path
from circuits_course.errors import CourseError
from circuits_course.notebook.progress import Progress
progress = Progress(Path(sys.argv[1]), lambda line: sys.exit(line))
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    progress.record("04", sys.argv[3], "hint", number=number)
"""


def _writer(path, count, item):
    command = [sys.executable, "-c", WRITER, str(path), str(count), item]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_two_writers_at_once_lose_nothing(path, warnings):
    writers = [_writer(path, 100, item) for item in ("f", "g")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    events = Progress(path, warnings.append).events()
    for item in ("f", "g"):
        assert [e.detail["number"] for e in events if e.item == item] == list(range(100))


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_kill_in_the_middle_of_writing_loses_at_most_one_event(path, warnings):
    writer = _writer(path, 1_000_000, "f")
    assert writer.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    progress = Progress(path, warnings.append)
    numbers = [event.detail["number"] for event in progress.events()]
    assert numbers == list(range(len(numbers)))
    assert numbers
    progress.record("04", "f", "check", outcome="PASSED")
    assert not warnings


def test_progress_is_saved_to_one_file_and_restored_from_it(path, tmp_path, warnings):
    log, saved = Progress(path, warnings.append), tmp_path / "drive" / "mine.sqlite"
    log.record("04", "a", "check", outcome="PASSED")
    log.record("05", "b", "hint", number=1)
    assert log.save(saved) == 2
    other = Progress(tmp_path / "elsewhere" / "progress.sqlite", warnings.append)
    other.record("06", "c", "hint", number=1)
    assert other.restore(saved) == 2
    assert other.restore(saved) == 0
    assert {event.item for event in other.events()} == {"a", "b", "c"}
    assert other.events("04")[0] == log.events("04")[0]
    assert not warnings


def test_what_cannot_be_saved_or_restored_is_one_line(path, tmp_path, warnings):
    log = Progress(path, warnings.append)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CourseError, match="cannot be saved"):
        log.save(tmp_path / "file" / "x.sqlite")
    with pytest.raises(CourseError, match="There is no file"):
        log.restore(tmp_path / "absent.sqlite")
    with pytest.raises(CourseError, match="holds no progress"):
        log.restore(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "not a folder"
