"""The class report: a synthetic class whose every figure is known, and notebooks that mean harm."""

from __future__ import annotations

import inspect
import random
import shutil
import textwrap
from collections import Counter

import pytest
from classroom.notebooks import (
    CHAPTER,
    EXERCISES,
    RIGHT,
    attack,
    by_learner,
    checked,
    in_a_sandbox,
    notebook,
)
from classroom.synthetic_class import judged, make_class
from typer.testing import CliRunner

from circuits_course.checks import load_checks, ready
from circuits_course.checks.references import reference_source, stub_source
from circuits_course.classroom import grading
from circuits_course.classroom.cells import read_cells
from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.report_page import page, write_page
from circuits_course.classroom.submissions import find_submissions
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.notebook.progress import Progress
from circuits_course.storage import source_dir

LEARNERS = 200


def wrong_source(name: str) -> str:
    """The first wrong answer on file as a learner would have written it."""
    function = load_checks(CHAPTER).exercises[name].wrong_answers[0].function
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") :].replace(function.__name__, name, 1)
    module = inspect.getmodule(function)
    borrowed = [used for used in _names_in(function.__code__) if hasattr(module, used)]
    lead = f"from {module.__name__} import {', '.join(borrowed)}\n" if borrowed else ""
    return lead + source


def _names_in(code) -> set[str]:
    inner = [const for const in code.co_consts if hasattr(const, "co_names")]
    return set(code.co_names).union(*map(_names_in, inner))


def test_every_figure_of_a_class_is_known(tmp_path):
    """Learners who answer by chance: right, wrong in a known way, or not at all."""
    dice, expected = random.Random(0), {}
    for number in range(LEARNERS):
        cells, outcomes = [], {}
        for name in EXERCISES:
            kind = dice.choice(["right", "wrong", "stub", "absent"])
            if kind == "right":
                cells.append(checked(reference_source(CHAPTER, name), name))
                outcomes[name] = ("PASSED", None)
            elif kind == "wrong":
                wrong = load_checks(CHAPTER).exercises[name].wrong_answers[0]
                cells.append(checked(wrong_source(name), name))
                outcomes[name] = ("WRONG", wrong.name)
            elif kind == "stub":
                cells.append(checked(stub_source(CHAPTER, name), name))
                outcomes[name] = ("NOT_ATTEMPTED", None)
        notebook(tmp_path / f"learner_{number}_{CHAPTER}.ipynb", *cells)
        expected[f"learner_{number}"] = outcomes
    reports = check_folder(tmp_path)
    found = {
        report.learner: {n: (a.outcome, a.diagnosis) for n, a in report.answers.items()}
        for report in reports
    }
    assert found == expected
    assert not any(report.trouble for report in reports)
    _page_agrees(page(reports), expected)


def test_a_class_over_the_whole_course(tmp_path):
    """One learner a chapter; `python tests/synthetic_class.py` does it with two hundred."""
    expected = make_class(tmp_path, len(ready()), ready(), seed=1)
    reports = check_folder(tmp_path)
    assert judged(reports) == expected
    assert not any(report.trouble for report in reports)
    outcomes = {outcome for row in expected.values() for outcome, _ in row.values()}
    assert {"PASSED", "WRONG", "NOT_ATTEMPTED"} <= outcomes


def _page_agrees(html, expected):
    assert f"{LEARNERS} learners, {LEARNERS} files, 0 of them with trouble" in html
    for name in EXERCISES:
        passed = sum(o.get(name, ("",))[0] == "PASSED" for o in expected.values())
        assert f"<td class=number>{passed} of {LEARNERS}</td>" in html
        wrong = Counter(o[name][1] for o in expected.values() if o.get(name, ("",))[0] == "WRONG")
        for diagnosis, count in wrong.items():
            assert f"<td>{name}</td><td>{count}</td>" in html, diagnosis


@pytest.mark.parametrize(
    ("kind", "outcome"), [("notebooks", "NOT_ATTEMPTED"), ("solutions", "PASSED")]
)
def test_the_courses_own_notebooks(tmp_path, kind, outcome):
    notebooks = sorted(source_dir(kind).glob("*.ipynb"))
    for path in notebooks:
        shutil.copy(path, tmp_path / path.name)
    reports = check_folder(tmp_path)
    assert [report.chapter for report in reports] == [path.stem for path in notebooks]
    for report in reports:
        found = {name: answer.outcome for name, answer in report.answers.items()}
        assert found == dict.fromkeys(load_checks(report.chapter).exercises, outcome)
        assert not report.trouble


def test_a_wrong_answer_hands_on_the_reference_as_in_the_notebook(tmp_path):
    """What a later answer calls is the reference, once the learner's own was wrong."""
    first = "def split_heads(x, n_heads):\n    return 0\n\nsplit_heads = chapter.check(split_heads)"
    later = (
        "def helper(x):\n    return split_heads(x, 2)\n\n"
        f"{reference_source(CHAPTER, EXERCISES[-1])}\n\n"
        f"{EXERCISES[-1]} = chapter.check({EXERCISES[-1]})"
    )
    notebook(tmp_path / "ann.ipynb", first, later)
    (report,) = check_folder(tmp_path)
    assert report.answers["split_heads"].outcome == "WRONG"
    assert report.answers[EXERCISES[-1]].outcome == "PASSED"


def test_demonstrations_and_magics_are_left_out(tmp_path):
    path = notebook(
        tmp_path / "bob.ipynb",
        "%pip install nothing\n!rm -rf /\nimport math",
        "model = load_model('auto')\nprint(model)",
        "SIZE = 3\nname = 'x'\nwhile True:\n    pass",
        checked(reference_source(CHAPTER, "split_heads"), "split_heads"),
    )
    chapter, steps = read_cells(path.name, path.read_bytes())
    assert chapter == CHAPTER
    kept = "\n".join(step.source for step in steps)
    assert "SIZE = 3" in kept
    assert "import math" in kept
    assert "load_model('auto')" not in kept
    assert "while True" not in kept
    (report,) = check_folder(tmp_path)
    assert report.answers["split_heads"].outcome == "PASSED"


def test_answers_given_by_name_or_as_a_lambda(tmp_path):
    reference = reference_source(CHAPTER, "split_heads").replace("def split_heads", "def mine")
    notebook(
        tmp_path / "a.ipynb", reference, 'split_heads = chapter.check(mine, name="split_heads")'
    )
    notebook(tmp_path / "b.ipynb", 'chapter.check(lambda x, n_heads: x, name="split_heads")')
    found = by_learner(check_folder(tmp_path))
    assert found["a"].answers["split_heads"].outcome == "PASSED"
    assert found["b"].answers["split_heads"].outcome == "WRONG"


def test_answers_after_one_that_ends_the_process_are_still_checked(tmp_path):
    last = EXERCISES[-1]
    assert last != "read_pattern"
    notebook(
        tmp_path / "eve.ipynb",
        attack("import os\nos._exit(1)"),
        checked(reference_source(CHAPTER, last), last),
    )
    (report,) = check_folder(tmp_path)
    assert report.answers["read_pattern"].outcome == "CRASHED"
    assert report.answers[last].outcome == "PASSED"


def test_a_cell_that_is_no_python_is_that_answer_alone(tmp_path):
    notebook(tmp_path / "x.ipynb", "def split_heads(x, n_heads:\n\nchapter.check(split_heads)",
             checked(stub_source(CHAPTER, "read_pattern"), "read_pattern"))  # fmt: skip
    (report,) = check_folder(tmp_path)
    assert report.answers["split_heads"].outcome == "CRASHED"
    assert "SyntaxError" in report.answers["split_heads"].text
    assert report.answers["read_pattern"].outcome == "NOT_ATTEMPTED"


def test_progress_files_count_too(tmp_path):
    (tmp_path / "ann").mkdir()
    log = Progress(tmp_path / "ann" / "progress.sqlite")
    log.record(CHAPTER, "split_heads", "check", outcome="WRONG", diagnosis="x")
    log.record(CHAPTER, "split_heads", "check", outcome="PASSED", diagnosis=None)
    log.record(CHAPTER, "split_heads", "check", outcome="WRONG", diagnosis="x")
    log.record("nonsense", "<b>", "check", outcome="PASSED", diagnosis=None)
    log.close()
    before = (tmp_path / "ann" / "progress.sqlite").read_bytes()
    (tmp_path / "damaged.sqlite").write_bytes(b"SQLite format 3\0" + bytes(200))
    reports = by_learner(check_folder(tmp_path))
    assert [a.outcome for a in reports["ann"].answers.values()] == ["PASSED"]
    assert "damaged" in reports["damaged"].trouble[0]
    assert "✔ passed" in page(list(reports.values()))
    assert (tmp_path / "ann" / "progress.sqlite").read_bytes() == before


def test_who_a_file_belongs_to(tmp_path):
    for name in (
        "ann/04.ipynb",
        "ann/05.ipynb",
        "bob_04_induction_heads.ipynb",
        "04_composition.ipynb",
    ):
        notebook(tmp_path / name)
    learners = [s.learner for s in find_submissions(tmp_path)]
    assert learners == ["04_composition", "ann", "ann", "bob"]


def test_where_there_is_nothing_to_report_on(tmp_path):
    with pytest.raises(CourseError, match="no folder"):
        check_folder(tmp_path / "absent")
    with pytest.raises(CourseError, match="no notebooks"):
        check_folder(tmp_path)


@in_a_sandbox
def test_the_command_writes_one_page(tmp_path):
    notebook(tmp_path / "class" / "ann.ipynb", RIGHT)
    out = tmp_path / "report.html"
    found = CliRunner().invoke(app, ["report", str(tmp_path / "class"), "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert "ann" in out.read_text()
    assert "http" not in out.read_text(), "the page must need nothing but itself"
    assert write_page(check_folder(tmp_path / "class"), out) == out


def test_learners_stand_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        notebook(tmp_path / f"ann_{number}.ipynb", RIGHT)
    html = page(check_folder(tmp_path))
    places = [html.index(f"<th>ann_{number}</th>") for number in (1, 2, 10)]
    assert places == sorted(places)


@in_a_sandbox
def test_what_a_chapter_imports_is_there_for_every_learner(tmp_path):
    """Prepared once in the process that theirs are copies of: else each costs seconds more."""
    look = "import sys\nraise ValueError('circuits_course.plots.heatmaps' in sys.modules)"
    notebook(tmp_path / "ann.ipynb", attack(look))
    (report,) = check_folder(tmp_path, workers=1)
    assert "ValueError: True" in report.answers["read_pattern"].text


def test_two_workers_prepare_each_chapter_once():
    """While there are chapters enough; then they share what is left, and nothing twice."""
    topics = [str(i % 4) for i in range(40)] + ["4"] * 30
    order, last, taken = grading._Order(topics), ["", ""], [[], []]
    for turn in range(len(topics)):
        worker = turn % 2
        index = order.following(last[worker])
        last[worker] = topics[index]
        taken[worker].append(index)
    assert order.following(last[0]) is None
    assert sorted(taken[0] + taken[1]) == list(range(70))
    prepared = [list(dict.fromkeys(topics[i] for i in indices)) for indices in taken]
    assert sum(map(len, prepared)) <= 6, "five chapters, one of them shared at the end"
