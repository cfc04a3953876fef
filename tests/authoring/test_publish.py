"""Copies of the notebooks for Colab."""

from __future__ import annotations

import json

import nbformat
import pytest
from typer.testing import CliRunner

from circuits_course.authoring.publish import publish, stamped
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.models.health import Examined
from circuits_course.notebook.colab import set_up
from circuits_course.storage import source_dir

REPO, REF = "owner/course", "v1.0"


def test_every_notebook_gets_badge_and_set_up(tmp_path):
    paths = publish(REPO, REF, tmp_path / "colab")
    assert [p.name for p in paths] == sorted(
        p.name for p in source_dir("notebooks").glob("*.ipynb")
    )
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        badge, set_up_cell, *rest = notebook.cells
        assert f"github/{REPO}/blob/{REF}/colab/{path.name}" in badge.source
        assert f'"circuits-course @ git+https://github.com/{REPO}@{REF}"' in set_up_cell.source
        assert set_up_cell.source.endswith("set_up()")
        original = nbformat.read(source_dir("notebooks") / path.name, as_version=4)
        assert rest == original.cells


def test_publishing_twice_gives_the_same_bytes(tmp_path):
    first = {p.name: p.read_bytes() for p in publish(REPO, REF, tmp_path / "colab")}
    again = {p.name: p.read_bytes() for p in publish(REPO, REF, tmp_path / "colab")}
    assert first == again


def test_a_stamp_takes_the_place_of_an_earlier_one(tmp_path):
    (path, *_) = publish(REPO, REF, tmp_path / "colab")
    once = json.loads(path.read_text())
    assert stamped(once, REPO, REF, f"colab/{path.name}") == once
    newer = stamped(once, REPO, "v2.0", f"colab/{path.name}")
    assert len(newer["cells"]) == len(once["cells"])
    assert "v1.0" not in json.dumps(newer["cells"][:2])


@pytest.mark.parametrize(
    ("repo", "ref", "words"),
    [
        ("course", REF, "OWNER/NAME"),
        ("a/b/c", REF, "OWNER/NAME"),
        ('a/b"; rm', REF, "OWNER/NAME"),
        (REPO, "a b", "no tag"),
        (REPO, "", "no tag"),
        (REPO, "-x", "no tag"),
        (REPO, "a..b", "no tag"),
    ],
)
def test_what_github_cannot_have_is_said_in_one_line(tmp_path, repo, ref, words):
    with pytest.raises(CourseError, match=words):
        publish(repo, ref, tmp_path / "colab")
    assert not (tmp_path / "colab").exists()


def test_the_built_notebooks_are_not_written_over():
    with pytest.raises(CourseError, match="another folder"):
        publish(REPO, REF, source_dir("notebooks"))


def test_the_command(tmp_path):
    arguments = ["publish", "--repo", REPO, "--ref", REF, "--out", str(tmp_path / "c")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    bad = CliRunner().invoke(app, ["publish", "--repo", "x", "--ref", REF])
    assert bad.exit_code == 1
    assert "OWNER/NAME" in bad.output


def test_set_up_says_ready_or_what_is_missing_as_often_as_it_is_run(monkeypatch, capsys):
    findings = [Examined("Python", True, "3.11")]
    monkeypatch.setattr("circuits_course.models.health.doctor", lambda: findings)
    for _ in range(2):
        set_up()
    assert capsys.readouterr().out == "ready\nready\n"
    findings.append(Examined("a model", False, "run load_model"))
    set_up()
    assert capsys.readouterr().out == "✘ a model: run load_model\n"
