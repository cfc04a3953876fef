"""A stick made with the real pip, for this machine and for others: `make test-bundle`.

What lies on it is resolved once more for each machine by uv, from the stick alone; then the stick
installs itself here without a network, and the installed course loads its model.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from circuits_course.classroom.bundle import bundle

OTHERS = {"win_amd64": "x86_64-pc-windows-msvc", "macosx_14_0_arm64": "aarch64-apple-darwin"}
PYTHONS = ["3.12", "3.13"]
BEGAN = time.monotonic()


def say(line: str) -> None:
    """With the seconds since the beginning: where the time goes."""
    print(f"{time.monotonic() - BEGAN:4.0f} s  {line}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="circuits-course-stick-") as place:
        stick = bundle(Path(place) / "stick", platforms=list(OTHERS), python_versions=PYTHONS)
        names = sorted(path.name for path in (stick / "wheels").iterdir())
        say(f"{len(names)} wheels, {size(stick):.2f} GB")
        for platform in OTHERS.values():
            for python in PYTHONS:
                resolve(stick, platform, python)
        assert any(name.startswith("colorama") for name in names), "Windows needs colorama"
        install(stick, Path(place))
    say("The stick installs here, and has all that the others need.")


def size(folder: Path) -> float:
    """GB on the disk."""
    blocks = (path.lstat().st_blocks for path in folder.rglob("*"))
    return sum(blocks) * 512 / 1e9


def resolve(stick: Path, platform: str, python: str) -> None:
    """By another resolver than ours, from nothing but the stick."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "-", "--no-config", "--no-index", "--find-links",
               str(stick / "wheels"), "--python-platform", platform, "--python-version", python,
               "--only-binary", ":all:", "--no-header", "--no-annotate", "-q"]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
    environment["MACOSX_DEPLOYMENT_TARGET"] = "14.0"  # as OTHERS says; uv's own is older
    found = subprocess.run(command, input="circuits-course[lab]", capture_output=True, text=True,
                           env=environment)  # fmt: skip
    assert found.returncode == 0, f"{platform}, Python {python}: {found.stderr}"
    say(f"{platform}, Python {python}: {len(found.stdout.splitlines())} packages, all there")


def install(stick: Path, place: Path) -> None:
    """As a learner does; twice, since it may be run again."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIP_FIND_LINKS")}
    environment |= {"HOME": str(place), "PIP_NO_INDEX": "1",
                    "CIRCUITS_COURSE_CACHE": str(place / "cache")}  # fmt: skip
    for turn in ("Installed from it", "Installed again"):
        command, begun = (
            [sys.executable, str(stick / "install.py"), str(place / "course")],
            time.monotonic(),
        )
        found = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr
        say(
            f"{turn} in {time.monotonic() - begun:.0f} s; "
            f"{size(place / 'course'):.2f} GB, and {size(place / 'cache'):.2f} GB of models."
        )
    assert "Installed. Start with:" in found.stdout


if __name__ == "__main__":
    main()
