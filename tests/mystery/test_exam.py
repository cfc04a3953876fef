"""An exam: the key stays with the teacher, and a learner's copy cannot grade."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from circuits_course.classroom.exam import PARTS, as_csv, grade_exam
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.mystery import (
    Claim,
    grade,
    hand_in,
    load_mystery,
    new_exam,
    open_seal,
    true_claim,
)  # fmt: skip
from circuits_course.mystery.exam import read_claim, read_key
from circuits_course.mystery.making import make_mystery, without
from circuits_course.mystery.menu import ALGORITHMS, ROLES


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    return new_exam(tmp_path_factory.mktemp("exam"))


@pytest.fixture
def key(exam, tmp_path):
    """The teacher's key, with nothing graded yet."""
    copy = tmp_path / "desk" / exam[1].name
    copy.parent.mkdir()
    copy.write_bytes(exam[1].read_bytes())
    return copy


@pytest.fixture
def truth(exam):
    return true_claim(read_key(exam[1]))


# --- what learners have -----------------------------------------------------------------------


def test_learners_get_the_same_model_and_inputs(exam):
    theirs, mine = load_mystery(str(exam[0])), read_key(exam[1])
    tokens = theirs.sample(8, 3)
    assert torch.equal(tokens, mine.sample(8, 3))
    assert torch.equal(theirs.model(tokens), mine.model(tokens))


def test_the_learners_file_holds_no_key(exam):
    with safe_open(exam[0], framework="pt") as file:
        about = json.loads(file.metadata()["mystery"])
    assert set(about) == {"config", "kind", "inputs"}
    seal = read_key(exam[1]).seal.encode()
    content = exam[0].read_bytes()
    assert seal not in content
    assert seal[:20] not in content
    assert not [name for name in (*ALGORITHMS, *ROLES) if name.encode() in content]


def test_a_learners_copy_cannot_grade_nor_be_opened(exam, truth):
    theirs = load_mystery(str(exam[0]))
    for attempt in (
        lambda: open_seal(theirs),
        lambda: true_claim(theirs),
        lambda: grade(truth),
        lambda: grade(replace(truth, mystery=str(exam[0]))),
    ):
        with pytest.raises(CourseError, match="is an exam"):
            attempt()


def test_no_seed_that_anybody_could_try_gives_the_exam(exam, tmp_path):
    """A practice mystery follows from its small seed; an exam from 128 bits that nobody keeps."""
    first, second = exam[0], new_exam(tmp_path)[0]
    assert first.read_bytes() != second.read_bytes()
    theirs = load_mystery(str(first)).model.W_E
    for seed in range(60):
        model = make_mystery("x", seed).model
        assert model.W_E.shape != theirs.shape or not torch.equal(model.W_E, theirs)


def test_the_key_is_for_its_owner_alone_and_is_not_the_learners_file(exam):
    assert exam[1].stat().st_mode & 0o077 == 0
    with pytest.raises(CourseError, match="learners' file"):
        read_key(exam[0])


def test_an_exam_may_hide_from_simple_methods(tmp_path, monkeypatch):
    monkeypatch.setattr("circuits_course.mystery.exam.flaw", lambda mystery: None)  # seconds each
    learners, key = new_exam(tmp_path, hiding=True)
    assert load_mystery(str(learners)).model.cfg.n_layers == 3
    assert true_claim(read_key(key)).circuit


# --- claims as files --------------------------------------------------------------------------


def test_a_claim_comes_back_as_it_was_handed_in(truth, tmp_path):
    again = read_claim(hand_in(truth, tmp_path / "ada.claim.json"))
    assert (again.mystery, again.heads, again.edges, again.algorithm) == (
        truth.mystery, dict(truth.heads), list(truth.edges), truth.algorithm,
    )  # fmt: skip
    assert again.predictions == {}


NO_CLAIMS = [
    b"", b"{}x", b"[1]", b"3", b'{"mystery": "x", "predictions": {}}', b"\xff\xfe", b"[" * 90_000,
    b" " * 200_000, b'{"mystery": 3}', b'{"mystery": "x", "heads": {"mover": [[0, true]]}}',
    b'{"mystery": "x", "heads": {"mover": [[0, 1e400]]}}', b'{"mystery": "x", "edges": [[1]]}',
]  # fmt: skip


@pytest.mark.parametrize("content", NO_CLAIMS, ids=range(len(NO_CLAIMS)))
def test_what_is_no_claim_is_one_line(tmp_path, content):
    path = tmp_path / "eve.claim.json"
    path.write_bytes(content)
    with pytest.raises(CourseError) as error:
        read_claim(path)
    assert "\n" not in str(error.value)


def test_what_cannot_be_handed_in_is_one_line(truth, tmp_path):
    with pytest.raises(CourseError, match="takes a Claim"):
        hand_in({"heads": {}}, tmp_path / "x.claim.json")
    with pytest.raises(CourseError, match="cannot be written"):
        hand_in(truth, tmp_path)


# --- grading ----------------------------------------------------------------------------------


def test_the_truth_gets_all_and_less_gets_less(truth, key, tmp_path):
    folder = tmp_path / "in"
    hand_in(truth, folder / "ada.claim.json")
    less = without(truth, next(iter(truth.circuit)))
    hand_in(less, folder / "bob" / "my.claim.json")
    hand_in(Claim(truth.mystery), folder / "cleo.claim.json")
    hand_in(replace(truth, mystery="agate"), folder / "dora.claim.json")
    (folder / "eve.claim.json").write_text("nonsense")
    hand_in(Claim(truth.mystery, {"mover": [(7, 0)]}), folder / "=finn.claim.json")
    found = {row.learner: row for row in grade_exam(folder, key)}
    assert found["ada"].marks == dict.fromkeys(PARTS, 1.0)
    assert found["bob"].points < 1
    assert found["cleo"].points < 0.5
    assert "agate" in found["dora"].note
    assert "no claim" in found["eve"].note
    assert "no head 7.0" in found["=finn"].note
    rows = list(csv.DictReader(as_csv(found.values()).splitlines()))
    assert [row["points"] for row in rows if row["learner"] == "ada"] == ["1.000"]
    assert [row["learner"] for row in rows if "finn" in row["learner"]] == ["'=finn"]


def test_marks_are_no_oracle(truth, key, tmp_path):
    """The first claim counts; the same one may be graded again, another one may not."""
    folder = tmp_path / "in"
    hand_in(Claim(truth.mystery), folder / "ada.claim.json")
    first = grade_exam(folder, key)[0]
    assert grade_exam(folder, key)[0].marks == first.marks
    hand_in(truth, folder / "ada.claim.json")
    refused = grade_exam(folder, key)[0]
    assert refused.marks == {}
    assert "1 had been graded" in refused.note
    assert grade_exam(folder, key, most=2)[0].marks == dict.fromkeys(PARTS, 1.0)


def test_no_claims_are_told(key, tmp_path):
    with pytest.raises(CourseError, match="There is no claim"):
        grade_exam(tmp_path / "in", key)


def test_from_the_command_line(tmp_path):
    run = CliRunner().invoke
    made = run(app, ["mystery", "new", "--exam", "--out", str(tmp_path)])
    assert made.exit_code == 0, made.output
    key = next(tmp_path.glob("*.key"))
    hand_in(true_claim(read_key(key)), tmp_path / "in" / "ada.claim.json")
    table = tmp_path / "marks.csv"
    graded = run(app, ["mystery", "grade-exam", str(tmp_path / "in"), "--key", str(key),
                       "--csv", str(table)])  # fmt: skip
    assert graded.exit_code == 0, graded.output
    assert re.search(r"ada.*1\.000", table.read_text())
    for wrong in (["--exam", "--seed", "3"], [], ["--exam", "--out", __file__]):
        refused = run(app, ["mystery", "new", *wrong])
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output
