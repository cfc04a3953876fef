"""Copies of the notebooks for Colab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from typer.testing import CliRunner

from circuits_course.authoring import publish as publishing
from circuits_course.authoring.publish import next_steps, publish, stamped
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.models.health import Examined
from circuits_course.notebook import colab
from circuits_course.notebook.chapter import Chapter
from circuits_course.notebook.colab import set_up
from circuits_course.notebook.progress import read_events
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
        badge, set_up_cell, *rest, keep = notebook.cells
        assert f"github/{REPO}/blob/{REF}/colab/{path.name}" in badge.source
        assert f'"circuits-course @ git+https://github.com/{REPO}@{REF}"' in set_up_cell.source
        assert "    set_up()" in set_up_cell.source
        assert keep.source.endswith("keep_on_drive(chapter)")
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
    assert [cell["id"] for cell in newer["cells"]].count("colab-keep") == 1


@pytest.mark.parametrize(
    ("repo", "ref", "words"),
    [
        ("course", REF, "OWNER/NAME"),
        ("a/b/c", REF, "OWNER/NAME"),
        ("me/fork.git", REF, "me/fork.$"),
        ("https://github.com/me/fork", REF, "OWNER/NAME"),
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


# --- what a learner sees ----------------------------------------------------------------------


def set_up_code() -> str:
    """The set-up cell without the line that installs."""
    cell = stamped({"cells": []}, REPO, REF, "colab/x.ipynb")["cells"][1]
    lines = "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def test_a_tag_that_is_not_there_is_said_in_words(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(set_up_code(), {})
    said = capsys.readouterr().out
    assert said.startswith(f"✘ The course could not be installed from github.com/{REPO} at {REF}.")
    assert "Does that tag exist" in said


def test_a_course_that_is_there_is_set_up(monkeypatch, capsys):
    monkeypatch.setattr("circuits_course.models.health.doctor", list)
    exec(set_up_code(), {})
    assert capsys.readouterr().out == "ready\n"


def test_progress_goes_to_drive_and_comes_back(tmp_path, monkeypatch, capsys):
    drive = SimpleNamespace(mount=lambda place: Path(place).mkdir(parents=True, exist_ok=True))
    colab_module = SimpleNamespace(drive=drive)
    monkeypatch.setitem(sys.modules, "google.colab", colab_module)
    monkeypatch.setattr(colab, "on_colab", lambda: True)
    monkeypatch.setattr(colab, "DRIVE", tmp_path / "drive")
    for home, exercise in (("monday", "split_heads"), ("tuesday", "project_heads")):
        monkeypatch.setenv("CIRCUITS_COURSE_HOME", str(tmp_path / home))
        chapter = Chapter("00")
        chapter.log.record(chapter.name, exercise, "check", outcome="PASSED")
        colab.keep_on_drive(chapter)
    states = {row[0]: row[1] for row in chapter.progress_rows()}
    assert states["split_heads"] == states["project_heads"] == "✔ passed"
    assert len(read_events(tmp_path / "drive" / colab.KEPT)) == 2


def test_off_colab_there_is_nothing_to_keep():
    with pytest.raises(CourseError, match="not Colab"):
        colab.keep_on_drive(Chapter("00"))


# --- what a teacher sees ----------------------------------------------------------------------


def git(folder, *arguments):
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True)


def test_the_commands_that_are_left_and_the_links(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "PACKAGE", tmp_path / "circuits_course")
    paths = publish(REPO, REF, tmp_path / "colab")
    link = f"  https://colab.research.google.com/github/{REPO}/blob/{REF}/colab/{paths[0].name}"
    git(tmp_path, "init", "-q")
    left = next_steps(REPO, REF, paths)
    assert "does not hold these copies yet" in left[0]
    assert {f"  git tag {REF}", f"  git push origin HEAD {REF}", link} <= set(left)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "before")
    git(tmp_path, "tag", REF)
    assert "take a new tag, or move it" in next_steps(REPO, REF, paths)[0]
    git(tmp_path, "add", "colab")
    git(tmp_path, "commit", "-q", "-m", "copies")
    git(tmp_path, "tag", "-f", REF)
    left = next_steps(REPO, REF, paths)
    assert left == [f"{REF} holds these copies. When it is pushed, hand out:", *left[1:]]
    assert left[1] == link


def test_set_up_says_ready_or_what_is_missing_as_often_as_it_is_run(monkeypatch, capsys):
    findings = [Examined("Python", True, "3.11")]
    monkeypatch.setattr("circuits_course.models.health.doctor", lambda: findings)
    for _ in range(2):
        set_up()
    assert capsys.readouterr().out == "ready\nready\n"
    findings.append(Examined("a model", False, "run load_model"))
    set_up()
    assert capsys.readouterr().out == "✘ a model: run load_model\n"
