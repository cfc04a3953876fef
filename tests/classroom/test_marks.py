"""What a teacher reads in the first minute, hands back, and feeds to other programs."""

from __future__ import annotations

import csv
import json
import re

import pytest
from classroom.notebooks import CHAPTER, RIGHT, checked, in_a_sandbox, notebook
from typer.testing import CliRunner

from circuits_course.checks import load_checks
from circuits_course.checks.references import reference_source
from circuits_course.classroom.feedback import write_feedback
from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.marks import write_csv, write_gradescope, write_json
from circuits_course.classroom.names import Roster
from circuits_course.classroom.overview import cause_of, overview
from circuits_course.classroom.report_page import page
from circuits_course.classroom.reports import Answer, Report
from circuits_course.cli import app
from circuits_course.notebook.progress import Progress

C04 = "04_induction_heads"
SCORE = load_checks(C04).exercises["induction_score"]
FINISHED = {name: Answer("PASSED", "✔ Passed.") for name in load_checks(C04).exercises}


def handed_in(learner: str, **answers: Answer) -> Report:
    return Report(learner, f"{learner}.ipynb", C04, {**FINISHED, **answers})


def a_class() -> list[Report]:
    """Six who measured the wrong diagonal, two who sum, two whose answer crashed, three done."""
    wrong = [w.name for w in SCORE.wrong_answers]
    crash = "✘ Your function raised IndexError: index 9 is out of bounds on pattern of shape [2]."
    return [
        *(handed_in(f"ann_{i}", induction_score=Answer("WRONG", "✘", wrong[0])) for i in range(6)),
        *(handed_in(f"bob_{i}", induction_score=Answer("WRONG", "✘", wrong[1])) for i in range(2)),
        *(handed_in(f"cy_{i}", induction_score=Answer("CRASHED", crash)) for i in range(2)),
        *(handed_in(f"dee_{i}") for i in range(3)),
    ]


def test_the_headline_says_who_believes_what(tmp_path):
    html = page(a_class())
    head, rest = html.split("</ul>", 1)
    first = head.split("<li>")[1]
    assert "<strong>6 of 13</strong>, 04 <code>induction_score</code>" in first
    assert "ann_0, ann_1, ann_2, ann_3, ann_4, ann_5" in re.sub("</?bdi>", "", first)
    assert head.index("6 of 13") < head.index("2 of 13")
    assert "10</strong> have not got past 04 <code>induction_score</code>" in head
    beliefs, after = rest.split("What crashed", 1)
    assert "IndexError" not in beliefs, "crashes stand apart from beliefs"
    assert "IndexError: index 9 is out of bounds</td>" in after
    assert "dee_0" not in rest.split("Where people stopped")[1].split("</table>")[0]
    assert "(3 finished)" in rest


def test_no_raw_marks_reach_the_page():
    chapters = [load_checks(c) for c in (CHAPTER, C04)]
    reports = [
        Report(
            f"{wrong.name}{i}", "x.ipynb", checks.chapter, {name: Answer("WRONG", "", wrong.name)}
        )
        for checks in chapters
        for name, exercise in checks.exercises.items()
        for i, wrong in enumerate(exercise.wrong_answers)
    ]
    html = page(reports)
    assert "`" not in html
    assert "<code>" in html


def test_a_crash_is_told_by_its_cause():
    assert cause_of(Answer("CRASHED", "✘ Your function took longer than 20 s.")) == (
        "took longer than 20 s"
    )
    text = "✘ Your function raised KeyError: 'on x' on loss of shape [3].\n  in f, line 2: d[x]"
    assert cause_of(Answer("CRASHED", text)) == "KeyError: 'on x'"


def test_who_is_missing_is_listed():
    roster = Roster({name: (name,) for name in ("dee_0", "Zoe")})
    html = page(a_class(), roster=roster)
    assert "Nothing came from 1: " in html
    assert "Zoe" in html
    assert overview(a_class(), roster).unnamed[0] == "ann_0"


def test_what_progress_files_add(tmp_path):
    log = Progress(tmp_path / "ann" / "progress.sqlite")
    for outcome in ("WRONG", "WRONG", "NOT_ATTEMPTED", "PASSED"):
        log.record(CHAPTER, "split_heads", "check", outcome=outcome, diagnosis=None)
    log.record(CHAPTER, "split_heads", "hint", number=1)
    log.record(CHAPTER, "split_heads", "solution")
    key = next(c for c in (C04,) if load_checks(c).questions.explanations)
    question = next(iter(load_checks(key).questions.explanations))
    log.record(key, question, "explain", answer="first thought")
    log.record(key, question, "explain", answer="It <b>copies</b>")
    log.close()
    html = page(check_folder(tmp_path, workers=1))
    assert "<small>by their own account, solution seen, 1 hint, 3 tries</small>" in html
    assert "It &lt;b&gt;copies&lt;/b&gt;" in html
    assert "first thought" not in html
    assert "by their own account" in html, "nobody has run that answer"


def test_points_come_from_importance(tmp_path):
    worth = {name: e.importance for name, e in load_checks(C04).exercises.items()}
    path = write_csv([*a_class(), Report("=1+1", "x.ipynb", C04)], tmp_path / "points.csv")
    rows = {row["learner"]: row for row in csv.DictReader(path.open(encoding="utf-8-sig"))}
    assert rows["dee_0"]["points"] == rows["dee_0"]["of"] == str(sum(worth.values()))
    assert rows["ann_0"]["points"] == str(sum(worth.values()) - worth["induction_score"])
    assert rows["ann_0"][f"04 induction_score ({worth['induction_score']})"] == "0"
    assert rows["'=1+1"]["points"] == "0", "no spreadsheet takes a name for a formula"


def test_all_of_it_for_programs(tmp_path):
    path = write_json(a_class(), tmp_path / "class.json")
    found = {entry["learner"]: entry for entry in json.loads(path.read_text())["learners"]}
    assert found["ann_0"]["chapters"][C04]["induction_score"]["outcome"] == "WRONG"
    assert len(found) == 13


def test_one_submission_for_gradescope(tmp_path):
    half = Report("somebody", "a.ipynb", C04, {"induction_score": FINISHED["induction_score"]})
    path = write_gradescope([half], tmp_path / "results.json")
    result = json.loads(path.read_text())
    assert result["score"] == SCORE.importance
    assert {test["name"] for test in result["tests"]} == {f"04 {name}" for name in FINISHED}
    assert sum(test["max_score"] for test in result["tests"]) > result["score"]
    assert {test["status"] for test in result["tests"]} == {"passed", "failed"}


def test_a_page_for_each_learner(tmp_path):
    names = ["ann", "Ann", "../../etc", "con", "<b>x</b>", "Jos\u00e9", "."]
    reports = [handed_in(name, induction_score=Answer("WRONG", "✘ Wrong: `x`.")) for name in names]
    written = write_feedback(reports, tmp_path / "back")
    assert len({path.name.casefold() for path in written}) == len(names)
    assert all(path.parent == tmp_path / "back" for path in written)
    html = next(path for path in written if path.stem == "José").read_text()
    assert "A hint: " in html
    assert "<code>x</code>" in html
    assert "ann" not in html
    assert all("<b>x" not in path.read_text() for path in written)


@in_a_sandbox
def test_the_command_writes_all_of_it(tmp_path):
    last = list(load_checks(CHAPTER).exercises)[-1]
    notebook(tmp_path / "class" / "doejane_12_3456_00_start_here.ipynb", RIGHT)
    right = checked(reference_source(CHAPTER, last), last)
    notebook(tmp_path / "class" / "doejane_12_3499_00_start_here-1.ipynb", right)
    (tmp_path / "names.txt").write_text("Jane Doe\nMo Missing\n")
    out = tmp_path / "out"
    words = [
        "report",
        str(tmp_path / "class"),
        "--workers",
        "1",
        "--roster",
        str(tmp_path / "names.txt"),
    ]
    for option, name in (("--out", "r.html"), ("--csv", "r.csv"), ("--json", "r.json"),
                         ("--gradescope", "results.json"), ("--feedback", "back")):  # fmt: skip
        words += [option, str(out / name)]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert {path.name for path in out.iterdir()} == {
        "r.html", "r.csv", "r.json", "results.json", "back"
    }  # fmt: skip
    assert "Mo Missing" in (out / "r.html").read_text()
    assert [path.stem for path in (out / "back").iterdir()] == ["Jane Doe"]
    tests = json.loads((out / "results.json").read_text())["tests"]
    assert sum(test["status"] == "passed" for test in tests) == 2
    assert "sandbox" in (out / "r.html").read_text()


@in_a_sandbox
@pytest.mark.parametrize("option", ["--csv", "--json", "--gradescope", "--feedback", "--roster"])
def test_what_cannot_be_written_or_read_is_one_line(tmp_path, option):
    notebook(tmp_path / "class" / "ann.ipynb", RIGHT)
    (tmp_path / "file").write_text("")
    words = ["report", str(tmp_path / "class"), "--out", str(tmp_path / "r.html")]
    found = CliRunner().invoke(app, [*words, option, str(tmp_path / "file" / "x")])
    assert found.exit_code == 1
    assert len(found.output.strip().splitlines()) == 1
    assert not (tmp_path / "r.html").exists()
