"""Odd files and odd ways of writing: none costs the class its page, no right answer is lost."""

from __future__ import annotations

import io
import os
import sqlite3
import zipfile
from pathlib import Path

import pytest
from classroom.notebooks import CHAPTER, RIGHT, SET_UP, by_learner, content, notebook
from typer.testing import CliRunner

from circuits_course.checks.references import reference_source
from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.names import learner_of, read_roster
from circuits_course.classroom.progress_files import read_deeds
from circuits_course.classroom.report_page import page
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.notebook.progress import Progress

REFERENCE = reference_source(CHAPTER, "split_heads")

# --- no file costs the class its page ---------------------------------------------------------


def progress_file(path: Path, *details: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Progress(path).close()
    with sqlite3.connect(path) as connection:
        for detail in details:
            connection.execute(
                "INSERT INTO event (at, chapter, item, kind, detail) VALUES (?, ?, ?, ?, ?)",
                ("now", CHAPTER, "split_heads", "check", detail),
            )
    connection.close()
    return path


GOOD = '{"outcome": "PASSED", "diagnosis": null}'
ODD_DETAILS = ["nonsense", "[1]", "7", "null", '{"outcome": ["PASSED"], "diagnosis": ["x"]}',
               '{"outcome": "WRONG", "diagnosis": [1]}', "[" * 9000, "x" * 100_000]  # fmt: skip


def test_odd_files_beside_an_honest_one(tmp_path):
    notebook(tmp_path / "honest.ipynb", RIGHT)
    latin = os.fsdecode("Jos\xe9_00_start_here.ipynb".encode("latin-1"))
    notebook(tmp_path / latin, RIGHT)
    with zipfile.ZipFile(tmp_path / "amelie.zip", "w") as archive:
        info = zipfile.ZipInfo("d\xe9j\xe0.ipynb")
        archive.writestr(info, content(RIGHT))
    (tmp_path / "empty.zip").write_bytes(b"PK nothing")
    progress_file(tmp_path / "odd" / "progress.sqlite", *ODD_DETAILS)
    progress_file(tmp_path / "fine" / "progress.sqlite", GOOD, *ODD_DETAILS)
    _recursive_view(tmp_path / "view" / "progress.sqlite")
    (tmp_path / "locked.ipynb").mkdir()
    (tmp_path / "gone.ipynb").symlink_to(tmp_path / "nowhere")
    reports = by_learner(check_folder(tmp_path, workers=1))
    for learner in ("honest", "José", "amelie"):
        assert reports[learner].answers["split_heads"].outcome == "PASSED", reports[learner]
    assert [a.outcome for a in reports["fine"].answers.values()] == ["PASSED"]
    assert "no zip" in reports["empty"].trouble[0]
    assert "no progress" in reports["view"].trouble[0]
    page(list(reports.values())).encode("utf-8")


def _recursive_view(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE VIEW event AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
            "SELECT x AS id, 'a' AS at, 'b' AS chapter, 'c' AS item, 'd' AS kind, '{}' AS detail "
            "FROM n"
        )
    connection.close()


def test_a_progress_file_whose_columns_are_made_up_is_refused(tmp_path):
    path = tmp_path / "progress.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE event (id INTEGER PRIMARY KEY, at, chapter, item, kind, detail "
            "GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL)"
        )
        connection.executemany("INSERT INTO event (at) VALUES (?)", [("x",)] * 1000)
    connection.close()
    with pytest.raises(CourseError, match="no progress"):
        read_deeds(path.read_bytes())


@pytest.mark.parametrize("kind", ["a folder", "in a file"])
def test_where_the_page_cannot_be_written_is_said_before_anybody_is_graded(tmp_path, kind):
    notebook(tmp_path / "class" / "ann.ipynb", RIGHT)
    (tmp_path / "file").write_text("")
    out = tmp_path if kind == "a folder" else tmp_path / "file" / "report.html"
    found = CliRunner().invoke(app, ["report", str(tmp_path / "class"), "--out", str(out)])
    assert found.exit_code == 1
    assert found.exception is None or isinstance(found.exception, SystemExit)
    assert "Checking" not in found.output
    assert len(found.output.strip().splitlines()) == 1


# --- no right answer is lost ------------------------------------------------------------------

NO_CHAPTER = SET_UP.replace('chapter = Chapter("00_start_here")', "")
WAYS = {
    "line_separator": (SET_UP, "# one\u2028two\u2029three\x0cfour\x85five\nimport math\n" + RIGHT),
    "in_a_text": (SET_UP, "NOTE = 'a\u2028b'\n" + RIGHT),
    "form_feed": (SET_UP, "\x0c\n" + RIGHT),
    "windows": (SET_UP, RIGHT.replace("\n", "\r\n")),
    "bom_in_a_cell": (SET_UP, "\ufeff" + RIGHT),
    "other_name": (NO_CHAPTER, "ch = Chapter('00')\n" + RIGHT.replace("chapter.", "ch.")),
    "two_names": (NO_CHAPTER, "a = b = Chapter(0)\n" + RIGHT.replace("chapter.", "b.")),
    "no_name": (NO_CHAPTER, RIGHT.replace("chapter.", "Chapter('00_start_here').")),
    "by_module": (
        NO_CHAPTER, "import circuits_course as cc\nc = cc.Chapter('00')\n"
        + RIGHT.replace("chapter.", "c."),
    ),
    "check_renamed": (SET_UP, "ck = chapter.check\n" + RIGHT.replace("chapter.check", "ck")),
    "check_wrapped": (
        SET_UP, "def verify(f):\n    return chapter.check(f)\n"
        + RIGHT.replace("chapter.check", "verify"),
    ),
    "in_a_loop": (SET_UP, REFERENCE + "\nfor answer in [split_heads]:\n    chapter.check(answer)"),
    "magics": (SET_UP, "files = !ls\nlines = %who\n%time x = 1\nchapter?\n" + RIGHT),
    "cell_magic": (SET_UP, "%%time\n" + RIGHT),
    "after_bash": (SET_UP, "%%bash\nif x; then y; fi\n"),
    "one_line": (SET_UP, REFERENCE + "\nX = 1; print(X); Y = X; chapter.check(split_heads)"),
    "rechecked": (SET_UP, RIGHT + "\ndef split_heads(x, n_heads):\n    return x\n"
                  "chapter.check(split_heads)"),
}  # fmt: skip


def test_right_answers_written_in_odd_ways(tmp_path):
    for learner, (set_up, cell) in WAYS.items():
        notebook(tmp_path / f"{learner}.ipynb", cell, RIGHT if "bash" in learner else "",
                 set_up=set_up)  # fmt: skip
    (tmp_path / "bom.ipynb").write_bytes(b"\xef\xbb\xbf" + content(RIGHT))
    (tmp_path / "file.py").write_text(f"{SET_UP}\n# %%\n{RIGHT}")
    (tmp_path / "bare_00_start_here.py").write_text("import torch\nfrom torch import Tensor\n"
        "from einops import rearrange\nfrom jaxtyping import Float\n" + REFERENCE)  # fmt: skip
    reports = by_learner(check_folder(tmp_path, workers=1))
    assert set(reports) == {*WAYS, "bom", "file", "bare"}
    lost = {
        learner: report
        for learner, report in reports.items()
        if report.trouble or [a.outcome for a in report.answers.values()] != ["PASSED"]
    }
    assert not lost


def test_one_rule_for_rechecks_in_notebooks_and_progress_files(tmp_path):
    wrong = '{"outcome": "WRONG", "diagnosis": "x"}'
    progress_file(tmp_path / "p" / "progress.sqlite", wrong, GOOD, wrong)
    notebook(tmp_path / "n" / "00.ipynb", WAYS["rechecked"][1])
    found = [next(iter(r.answers.values())).outcome for r in check_folder(tmp_path, workers=1)]
    assert found == ["PASSED", "PASSED"]


def test_a_notebook_without_a_check_is_named(tmp_path):
    notebook(tmp_path / "ann.ipynb", REFERENCE)
    (report,) = check_folder(tmp_path, workers=1)
    assert "no check" in report.trouble[0]


# --- whose is it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "learner"),
    [
        ("Copy of 04_induction_heads_ann.ipynb", "ann"),
        ("Copy of Copy of 04_induction_heads - Ann Lee (2).ipynb", "Ann Lee"),
        ("Ann Lee - 04 Induction Heads (1).ipynb", "Ann Lee"),
        ("ann_04_induction_heads-Copy1.ipynb", "ann"),
        ("doejane_LATE_12345_678901_04_induction_heads-2.ipynb", "doejane"),
        ("doejane_12345_778903_05_composition.ipynb", "doejane"),
        ("Jane Doe_1234567_assignsubmission_file_/04_induction_heads.ipynb", "Jane Doe"),
        ("Jane Doe_1234567_assignsubmission_file_05_composition.ipynb", "Jane Doe"),
        ("HW4_jdoe_attempt_2026-01-02-10-11-12_04_induction_heads.ipynb", "jdoe"),
        ("submissions.zip/doejane_12345_678901_04_induction_heads.ipynb", "doejane"),
        ("submissions/ann/04_induction_heads.ipynb", "ann"),
        ("04_induction_heads/ann.ipynb", "ann"),
        ("ann.zip/work/04_induction_heads.ipynb", "ann"),
        ("04_induction_heads.ipynb", "04_induction_heads"),
        ("ann_10.ipynb", "ann_10"),
    ],
)
def test_names_as_people_and_platforms_write_them(place, learner):
    assert learner_of(place.split("/")) == learner


@pytest.mark.parametrize(
    "text",
    [
        "Jane Doe\nJosé Núñez\nAnn Lee",
        "name,login\nJane Doe,jd7\nJosé Núñez,jose\nAnn Lee,alee@x.edu\n",
        "Last name;First name;ID\nDoe;Jane;1\nNúñez;José;2\nLee;Ann;3\n",
    ],
)
def test_a_roster_brings_names_together(tmp_path, text):
    path = tmp_path / "names.csv"
    path.write_text(text, encoding="utf-8-sig")
    roster = read_roster(path)
    assert len(roster.people) == 3
    for said in ("doejane", "Doe, Jane", "JANE DOE", "jane_doe"):
        assert set(roster.find(said).split()) == {"Jane", "Doe"}, said
    assert set(roster.find("nunez jose").split()) == {"José", "Núñez"}
    assert roster.find("somebody") is None


def test_a_zip_of_a_whole_class(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("doejane_12_3456_00_start_here.ipynb", "leeann_13_3457_00_start_here.ipynb"):
            archive.writestr(name, content(RIGHT))
        archive.writestr("__MACOSX/._x.ipynb", b"x")
        archive.writestr("moe_14_3458_work.zip", b"PK")
    (tmp_path / "submissions.zip").write_bytes(packed.getvalue())
    reports = by_learner(check_folder(tmp_path, workers=1))
    assert "no zip" in reports.pop("moe").trouble[0]
    assert sorted(reports) == ["doejane", "leeann"]
    assert all(r.answers["split_heads"].outcome == "PASSED" for r in reports.values())
