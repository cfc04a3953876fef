"""What an unlucky teacher finds in the folder: all is read or named, no marks are lost."""

from __future__ import annotations

import codecs
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from classroom.notebooks import (
    CHAPTER,
    EXERCISES,
    RIGHT,
    SET_UP,
    attack,
    by_learner,
    checked,
    content,
    in_a_sandbox,
    notebook,
)

from circuits_course.checks.references import reference_source
from circuits_course.classroom import sandbox
from circuits_course.classroom.cells import read_cells
from circuits_course.classroom.feedback import feedback
from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.names import read_roster
from circuits_course.classroom.overview import overview
from circuits_course.classroom.progress_files import read_deeds
from circuits_course.classroom.report_page import page
from circuits_course.classroom.reports import Answer, Report
from circuits_course.classroom.submissions import find_submissions
from circuits_course.errors import CourseError
from circuits_course.notebook.progress import Progress

LAST = EXERCISES[-1]
RIGHT_LAST = checked(reference_source(CHAPTER, LAST), LAST)
BARE = f"{SET_UP}\n# %%\n{RIGHT}\n# of José"


def outcomes(report: Report) -> list[str]:
    return [answer.outcome for answer in report.answers.values()]


# --- odd files: all are read ------------------------------------------------------------------


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, inside in files.items():
            archive.writestr(name.replace("__", "."), inside, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def in_format_three() -> bytes:
    cells = [{"cell_type": "code", "input": text, "outputs": []} for text in (SET_UP, RIGHT)]
    return json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}).encode()


def with_outputs(size: int) -> bytes:
    loaded = json.loads(content(RIGHT))
    output = {"output_type": "stream", "name": "stdout", "text": ["x" * 1000 + "\n"]}
    loaded["cells"][1]["outputs"] = [output] * (size // 1000)
    return json.dumps(loaded).encode()


def of_the_future(path: Path) -> Path:
    """A progress file of a course that has gone on: more columns, tables, kinds, chapters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = Progress(path)
    log.record(CHAPTER, "split_heads", "check", outcome="PASSED", diagnosis=None)
    log.record(CHAPTER, "split_heads", "check", outcome="HALF_RIGHT", diagnosis=None)
    log.record(CHAPTER, "split_heads", "telepathy", strength=7)
    log.record("12_superposition", "count_features", "check", outcome="PASSED", diagnosis=None)
    log.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("ALTER TABLE event ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine'")
        connection.execute("CREATE TABLE badge (name TEXT)")
    connection.close()
    return path


def test_odd_files_are_read(tmp_path):
    folder = tmp_path / "class"
    notebook(folder / "honest.ipynb", RIGHT)
    files = {
        "three.ipynb": in_format_three(),
        "large.ipynb": with_outputs(50_000_000),
        "windows.py": BARE.encode("cp1252"),
        "declared.py": ("# -*- coding: latin-1 -*-\n" + BARE).encode("latin-1"),
        "powershell.py": codecs.BOM_UTF16_LE + BARE.encode("utf-16-le"),
        "inner.zip": zipped(work__zip=zipped(a__ipynb=content(RIGHT))),
        "packed.zip": zipped(answers__py=BARE.encode()),
        "submissions.zip": zipped(
            **{"Ann Lee_12_assignsubmission_file_\\00.ipynb": content(RIGHT)}
        ),
        "new\nline.ipynb": content(RIGHT),
        "\U0001f469\u200d\U0001f4bb.ipynb": content(RIGHT),
        "مریم.ipynb": content(RIGHT),
        "\u202egpj.ipynb": content(RIGHT),
    }
    for name, inside in files.items():
        (folder / name).write_bytes(inside)
    notebook(folder / "folder.ipynb" / "00_start_here.ipynb", RIGHT)
    of_the_future(folder / "future" / "progress.sqlite")
    log = of_the_future(tmp_path / "progress.sqlite").read_bytes()
    (folder / "log.zip").write_bytes(zipped(progress__sqlite=log))
    reports = check_folder(folder, workers=1)
    lost = [r for r in reports if r.trouble or outcomes(r) != ["PASSED"]]
    assert not lost
    found = set(by_learner(reports))
    assert found == {
        "honest", "three", "large", "windows", "declared", "powershell", "inner", "packed",
        "Ann Lee", "new\ufffdline", "\U0001f469\u200d\U0001f4bb", "مریم", "\ufffdgpj", "folder",
        "future", "log",
    }  # fmt: skip
    html = page(reports)
    assert "<bdi>مریم</bdi>" in html, "a name from right to left disorders what stands beside it"
    html.encode("utf-8")


# --- what cannot be read is named -------------------------------------------------------------


def test_what_cannot_be_read_is_named(tmp_path):
    folder = tmp_path / "class"
    notebook(folder / "honest.ipynb", RIGHT)
    outside = notebook(tmp_path / "outside" / "00.ipynb", RIGHT)
    (folder / "link.ipynb").symlink_to(outside)
    (folder / "links").symlink_to(outside.parent)
    (folder / "nowhere.ipynb").symlink_to(tmp_path / "nothing")
    (folder / "round.ipynb").symlink_to(folder / "round.ipynb")
    (folder / "kept.ipynb").symlink_to(folder / "honest.ipynb")
    (folder / "folder.ipynb").mkdir()
    os.mkfifo(folder / "pipe.ipynb")
    files = {
        "empty.ipynb": b"", "empty2.py": b" \n", "huge.ipynb": with_outputs(70_000_000),
        "eve.rar": b"Rar!", "mallory.ipynb.txt": content(RIGHT), "deep.zip":
        zipped(a__zip=zipped(b__zip=zipped(c__ipynb=content(RIGHT)))),
        "inner.zip": zipped(a__zip=b"PK"), "bomb.zip": bomb(),
    }  # fmt: skip
    for name, inside in files.items():
        (folder / name).write_bytes(inside)
    notebook(folder / "ann" / "00.ipynb", RIGHT)
    (folder / "ann" / "extra.rar").write_bytes(b"Rar!")
    reports = by_learner(check_folder(folder, workers=1))
    assert outcomes(reports.pop("honest")) == ["PASSED"]
    assert outcomes(reports.pop("kept")) == ["PASSED"]
    assert outcomes(reports.pop("ann")) == ["PASSED"]
    said = {learner: report.trouble[0] for learner, report in reports.items()}
    assert not any(report.answers for report in reports.values())
    expected = {
        "link": "leads out of the folder", "links": "leads out of the folder",
        "nowhere": "leads nowhere", "round": "leads nowhere",
        "folder": "a folder", "pipe": "no ordinary file", "empty": "is empty",
        "empty2": "is empty", "huge": "larger than 60 MB", "eve": "not read", "mallory": "not read",
        "deep": "within a zip", "inner": "no zip, or is damaged", "bomb": "larger than 60 MB",
    }  # fmt: skip
    assert set(said) == set(expected)
    assert {
        learner: words for learner, words in expected.items() if words not in said[learner]
    } == {}


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.ipynb", bytes(200_000_000))
    return packed.getvalue()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    notebook(tmp_path / "honest.ipynb", RIGHT)
    notebook(tmp_path / "eve" / "00.ipynb", RIGHT)
    notebook(tmp_path / "mel.ipynb", RIGHT).chmod(0)
    (tmp_path / "eve").chmod(0)
    try:
        reports = by_learner(check_folder(tmp_path, workers=1))
    finally:
        (tmp_path / "eve").chmod(0o700)
    assert outcomes(reports["honest"]) == ["PASSED"]
    assert "Permission denied" in reports["eve"].trouble[0]
    assert "Permission denied" in reports["mel"].trouble[0]


@pytest.mark.parametrize("kind", ["zip", "ipynb", "py", "sqlite"])
def test_a_file_with_bytes_changed_by_chance_costs_nothing(tmp_path, kind):
    """Only CourseError comes of it, whatever the bytes."""
    whole = {
        "zip": zipped(a__ipynb=content(RIGHT), b__py=BARE.encode()),
        "ipynb": content(RIGHT),
        "py": BARE.encode(),
        "sqlite": of_the_future(tmp_path / "whole" / "progress.sqlite").read_bytes(),
    }[kind]
    dice, folder = random.Random(7), tmp_path / "class"
    folder.mkdir()
    path = folder / f"a.{kind}"
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(dice.choice([1, 3, 30])):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged[: dice.choice([len(damaged), dice.randrange(len(damaged))])])
        for submission in find_submissions(folder):
            with suppress(CourseError):
                inside = submission.read()
                read_deeds(inside) if kind == "sqlite" else read_cells(submission.name, inside)


# --- rosters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_roster_in_whatever_encoding_a_spreadsheet_writes(tmp_path, encoding):
    path = tmp_path / "names.csv"
    path.write_bytes("Name;Login\nJosé Núñez;jn1\nDoe, Jane;jd7\n".encode(encoding))
    roster = read_roster(path)
    assert list(roster.people) == ["José Núñez", "Doe, Jane"]
    assert roster.find("jd7") == "Doe, Jane"


def test_two_people_of_one_name_stay_two(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("name,login\nAnn Lee,alee1\nAnn Lee,alee2\nBob Ray,bray\n")
    roster = read_roster(path)
    assert list(roster.people) == ["Ann Lee (alee1)", "Ann Lee (alee2)", "Bob Ray"]
    assert roster.find("alee2") == "Ann Lee (alee2)"
    assert roster.find("Ann Lee") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,login\nAnn Lee,x1\nBob Ray,x1\n", "x1"),
        ("Ann Lee\nBob Ray\nAnn Lee\n", "Ann Lee"),
        ("name,login\nAnn Lee,alee\nAnn Lee,\n", "Ann Lee"),
        ("a" * 200_000 + ",b\n", "cannot be read"),
        (" \n\n", "names nobody"),
    ],
)
def test_a_roster_that_cannot_serve_is_told(tmp_path, text, words):
    path = tmp_path / "names.csv"
    path.write_text(text)
    with pytest.raises(CourseError, match=words):
        read_roster(path)


def test_names_with_a_comma_and_no_head_are_whole_names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("Doe, Jane\nDoe, John\nLee, Ann\n")
    roster = read_roster(path)
    assert list(roster.people) == ["Jane Doe", "John Doe", "Ann Lee"]


# --- several files of one learner -------------------------------------------------------------


def test_which_of_several_files_counts_is_said(tmp_path):
    stub = checked("def split_heads(x, n_heads):\n    return x", "split_heads")
    notebook(tmp_path / "ann" / "00 (1).ipynb", RIGHT, RIGHT_LAST)
    notebook(tmp_path / "ann" / "00.ipynb", stub)
    notebook(tmp_path / "bob.ipynb", RIGHT)
    reports = check_folder(tmp_path, workers=1)
    work = overview(reports).chapters[0].rows["ann"]
    assert [work[name].outcome for name in ("split_heads", LAST)] == ["PASSED", "PASSED"]
    for html in (page(reports), feedback(overview(reports), "ann")):
        assert "Several files" in html
        assert "ann/00 (1).ipynb, ann/00.ipynb" in html
        assert "one that passed" in html
    assert "Several files" not in feedback(overview(reports), "bob")


# --- answers that mean harm, and the right one after them -------------------------------------

BEFORE = {
    "sleeps": "class Slow:\n    import time\n    time.sleep(1000)",
    "counts": "BIG = 9 ** 9 ** 9",
    "leaves": "class Gone:\n    import os\n    os._exit(0)",
    "hoards": "ALL = [0] * 10 ** 10",
    "prints": "class Loud:\n    for _ in range(1000):\n        print('x' * 10 ** 6)",
    "decorates": "@(lambda f: __import__('time').sleep(1000))\ndef f(): pass",
}
WITHIN = {
    "prints_much": ("for _ in range(1000):\n    print('x' * 10 ** 6)", ""),
    "writes_much": (
        "block = bytes(10 ** 7)\nfor i in range(1000):\n"
        "    open('/' + f'tmp/{i}', 'wb').write(block[:9_000_000])",
        "OSError",
    ),
    "leaves_a_daemon": ("import multiprocessing as m, time\n"
        "m.get_context('fork').Process(target=time.sleep, args=(99,), daemon=True).start()",
        "PermissionError"),
    "leaves_a_thread": ("import threading, time\n"
        "threading.Thread(target=time.sleep, args=(99,)).start()\nreturn 0", ""),
    "reads_environments": (
        "import glob\nseen = 0\nfor path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try:\n        seen += 'UNLUCKY' in open(path).read()\n"
        "    except OSError:\n        pass\n"
        "raise ValueError(f'{seen} of them')",
        "ValueError: 0 of them",
    ),
    "never_hears": ("import signal, time\nfor s in (2, 15):\n    signal.signal(s, signal.SIG_IGN)\n"
        "time.sleep(1000)", "took longer"),
}  # fmt: skip


@in_a_sandbox
def test_whatever_happens_before_it_the_right_answer_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLUCKY", "1")
    for learner, cell in BEFORE.items():
        notebook(tmp_path / f"{learner}.ipynb", cell, RIGHT)
    for learner, (body, _) in WITHIN.items():
        notebook(tmp_path / f"{learner}.ipynb", RIGHT, attack(body), RIGHT_LAST)
    notebook(tmp_path / "zoe.ipynb", RIGHT)
    reports = by_learner(check_folder(tmp_path, workers=2, exercise_seconds=4))
    assert outcomes(reports["zoe"]) == ["PASSED"]
    for learner in BEFORE:
        assert outcomes(reports[learner]) == ["PASSED"], reports[learner]
    for learner in {*BEFORE} - {"prints", "hoards"}:
        assert "cell 2" in reports[learner].trouble[0], reports[learner]
    for learner, (_, words) in WITHIN.items():
        answers = reports[learner].answers
        assert answers["split_heads"].outcome == answers[LAST].outcome == "PASSED", reports[learner]
        assert answers["read_pattern"].outcome in ("WRONG", "CRASHED")
        assert words in answers["read_pattern"].text, (learner, reports[learner])


# --- the sandbox, wherever Python lies --------------------------------------------------------


def test_a_class_within_the_folder_of_python_is_out_of_reach(tmp_path, monkeypatch):
    """`python -m venv teaching`, and the class in teaching/class."""
    home = tmp_path / "teaching"
    notebook(home / "class" / "ann.ipynb", RIGHT)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    monkeypatch.setattr(sys, "prefix", str(home))
    places = [Path(place) for place in sandbox._places()]
    assert home / "lib" in places
    assert home / "pyvenv.cfg" in places
    assert not [place for place in places if (home / "class").is_relative_to(place)]


# --- the teacher changes her mind -------------------------------------------------------------


@in_a_sandbox
def test_an_interrupt_ends_the_report_at_once(tmp_path):
    for number in range(6):
        notebook(tmp_path / f"{number}.ipynb", RIGHT, attack("while True: pass"))
    command = [sys.executable, "-m", "circuits_course.cli", "report", str(tmp_path), "--out",
               str(tmp_path / "r.html"), "--workers", "2", "--seconds", "100"]  # fmt: skip
    # A shell that begins a job in the background has it ignore interrupts; a terminal does not.
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **heeds)
    time.sleep(15)
    start = time.monotonic()
    running.send_signal(signal.SIGINT)
    output = running.communicate(timeout=60)[0].decode()
    assert time.monotonic() - start < 15
    assert running.returncode != 0
    assert "Traceback" not in output


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    path = notebook(tmp_path / "ann.ipynb", RIGHT)
    with pytest.raises(CourseError, match="is a file"):
        check_folder(path)


def test_a_report_of_answers_alone_has_no_word_of_several_files():
    report = Report("ann", "a.ipynb", CHAPTER, {"split_heads": Answer("PASSED")})
    assert "Several files" not in page([report])
