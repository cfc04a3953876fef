"""Progress survives kills, damage, refusals and two writers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from threading import Thread, Timer

import pytest

from circuits_course.errors import CourseError
from circuits_course.notebook import progress as progress_module
from circuits_course.notebook.chapter import Chapter
from circuits_course.notebook.progress import Progress, read_events
from circuits_course.storage import cache_dir, data_dir


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


@pytest.fixture
def full_disk(monkeypatch):
    """Files that may not grow, until the function that this gives is called."""
    connect = progress_module._connect

    def nearly_full(place, *patience):
        connection = connect(place, *patience)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(progress_module, "_connect", nearly_full)
    return lambda: monkeypatch.setattr(progress_module, "_connect", connect)


def test_a_full_disk_is_told_in_one_line(path, warnings, full_disk):
    progress = Progress(path, warnings.append)
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
progress = Progress(Path(sys.argv[1]), lambda line: None)  # a busy disk may make events wait
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


# --- one file, several users of it -----------------------------------------------------------


def test_many_threads_on_one_log_lose_nothing_and_harm_nothing(path, warnings):
    progress = Progress(path, warnings.append)

    def write(item):
        for number in range(25):
            progress.record("04", item, "hint", number=number)
            progress.events("04")

    threads = [Thread(target=write, args=(item,)) for item in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Progress(path, warnings.append).events()) == 100
    assert not warnings
    assert not list(path.parent.glob("*.damaged-*"))


def test_recording_after_close_opens_the_file_again(path, warnings):
    progress = Progress(path, warnings.append)
    progress.close()
    progress.record("04", "f", "check", outcome="PASSED")
    progress.close()
    assert len(progress.events()) == 1
    assert not warnings
    assert not list(path.parent.glob("*.damaged-*"))


def test_what_somebody_else_has_mended_is_not_set_aside_again(path, warnings):
    one, other = Progress(path, warnings.append), Progress(path, warnings.append)
    path.write_bytes(b"garbage" * 2000)
    one.record("04", "f", "hint", number=1)
    other.record("04", "f", "hint", number=2)
    assert [event.detail["number"] for event in other.events()] == [1, 2]
    assert len(list(path.parent.glob("*.damaged-*"))) == 1
    assert len(warnings) == 1


# --- what cannot be written waits -------------------------------------------------------------


def locked(path):
    """A connection that holds the file for itself."""
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    return holder


def test_a_locked_file_costs_moments_and_nothing_is_lost(path, warnings, monkeypatch):
    monkeypatch.setattr("circuits_course.notebook.progress.PATIENCE", 0.3)
    Progress(path, warnings.append).record("04", "f", "hint", number=0)
    holder = locked(path)
    start = time.monotonic()
    progress = Progress(path, warnings.append)
    for number in range(1, 11):
        progress.record("04", "f", "hint", number=number)
    assert [event.detail["number"] for event in progress.events()] == list(range(1, 11))
    assert time.monotonic() - start < 3
    assert len(warnings) == 1
    holder.execute("ROLLBACK")
    progress.record("04", "f", "hint", number=11)
    again = Progress(path, warnings.append)
    assert [event.detail["number"] for event in again.events()] == list(range(12))
    assert len(warnings) == 2
    assert "again" in warnings[1]
    holder.close()


def test_a_lock_of_a_moment_is_waited_for(path, warnings):
    Progress(path, warnings.append).close()
    holder = locked(path)
    release = Timer(0.5, lambda: holder.execute("ROLLBACK"))
    release.start()
    Progress(path, warnings.append).record("04", "f", "hint", number=1)
    release.join()
    assert not warnings


def test_a_disk_that_recovers_gets_what_waited(path, warnings, full_disk):
    progress = Progress(path, warnings.append)
    for number in range(100):
        progress.record("04", "f", "explain", answer="x" * 1000 + str(number))
    assert len(warnings) == 1
    full_disk()
    progress.record("04", "f", "explain", answer="last")
    kept = [event.detail["answer"].strip("x") for event in Progress(path, print).events()]
    assert kept == [*map(str, range(100)), "last"]


def test_a_folder_that_comes_back_gets_what_waited(tmp_path, warnings):
    blocked = tmp_path / "home"
    blocked.write_text("not a folder")
    progress = Progress(blocked / "progress.sqlite", warnings.append)
    progress.record("04", "f", "hint", number=1)
    blocked.unlink()
    progress.record("04", "f", "hint", number=2)
    again = Progress(blocked / "progress.sqlite", warnings.append)
    assert [event.detail["number"] for event in again.events()] == [1, 2]


def test_what_waits_at_the_end_is_tried_once_more(path):
    Progress(path).close()
    holder = locked(path)
    code = (
        "import sys; from pathlib import Path; from circuits_course.notebook import progress as p; "
        "p.PATIENCE = 0.1; log = p.Progress(Path(sys.argv[1]), lambda line: None); "
        "log.record('04', 'f', 'hint', number=1); print('ready', flush=True)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"ready\n"
    holder.execute("ROLLBACK")
    assert writer.wait(20) == 0
    assert len(Progress(path).events()) == 1


# --- what others hand over --------------------------------------------------------------------


def written(path, *details, kind="check"):
    """A progress file with these texts as details."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Progress(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [("2026-01-01", "04_induction_heads", "f", kind, detail) for detail in details]
        connection.executemany(
            "INSERT INTO event (at, chapter, item, kind, detail) VALUES (?, ?, ?, ?, ?)", rows
        )
    return path


NO_DETAILS = [
    "[1]", "{}", "no JSON", "7", "null", '{"outcome": [1]}', '{"outcome": null}', "[" * 100_000,
    '{"outcome": "PASSED", "diagnosis": ["x"]}', b"\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize("detail", NO_DETAILS, ids=range(len(NO_DETAILS)))
def test_what_is_no_event_is_left_out_wherever_it_comes_from(path, tmp_path, warnings, detail):
    saved = written(tmp_path / "theirs.sqlite", detail, '{"outcome": "WRONG"}')
    log = Progress(path, warnings.append)
    assert log.restore(saved) == 1
    assert [event.detail for event in log.events()] == [{"outcome": "WRONG"}]
    own = Progress(saved, warnings.append)
    assert [event.detail for event in own.events()] == [{"outcome": "WRONG"}]
    assert not warnings
    with pytest.raises(CourseError, match="holds no progress"):
        log.restore(written(tmp_path / "nothing.sqlite", detail))


@pytest.mark.parametrize("kind", ["hint", "predict", "quiz", "explain"])
def test_every_kind_of_event_holds_what_the_course_reads(tmp_path, kind):
    assert Progress(written(tmp_path / "a.sqlite", "{}", kind=kind)).events() == []


def test_a_chapter_reads_a_log_with_odd_entries(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_HOME", str(tmp_path))
    written(tmp_path / "progress.sqlite", *NO_DETAILS)
    assert all(row[1] == "○ not attempted" for row in Chapter("04").progress_rows())


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE notes (text TEXT)",
        "CREATE TABLE event (id INTEGER)",
        "CREATE VIEW event AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT x AS id, x AS at, x AS chapter, x AS item, x AS kind, x AS detail FROM n",
        "",
    ],
)
def test_a_foreign_database_is_refused(path, tmp_path, warnings, schema):
    foreign = tmp_path / "foreign.sqlite"
    foreign.touch()
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.executescript(schema)
    before = foreign.read_bytes()
    with pytest.raises(CourseError, match="holds no progress"):
        Progress(path, warnings.append).restore(foreign)
    assert foreign.read_bytes() == before


def test_a_column_that_swells_is_refused(tmp_path):
    swelling = tmp_path / "swelling.sqlite"
    with closing(sqlite3.connect(swelling)) as connection, connection:
        column = "detail TEXT GENERATED ALWAYS AS (printf('%.9000000c', 'x'))"
        connection.execute(f"CREATE TABLE event (at, chapter, item, kind, {column})")
        connection.execute("INSERT INTO event VALUES ('a', 'b', 'c', 'd')")
    with pytest.raises(CourseError, match="holds no progress"):
        read_events(swelling)


@pytest.mark.parametrize("name", ["CIRCUITS_COURSE_HOME", "CIRCUITS_COURSE_CACHE"])
def test_a_home_of_nobody_is_one_line(monkeypatch, name):
    monkeypatch.setenv(name, "~nosuchuser/x")
    place = data_dir if name.endswith("HOME") else cache_dir
    with pytest.raises(CourseError, match=f"{name}.*~nosuchuser") as error:
        place()
    assert "\n" not in str(error.value)


def test_a_place_of_nobody_to_save_to_is_one_line():
    for keep in (Chapter("04").save_progress, Chapter("04").restore_progress):
        with pytest.raises(CourseError, match="~nosuchuser"):
            keep("~nosuchuser/x.sqlite")
