"""What fetches packages here: pip, or uv where there is no pip. Mirrors and proxies are theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

NEITHER = (
    "neither pip nor uv is in this environment; `python -m ensurepip` brings pip, and "
    "https://docs.astral.sh/uv tells how to get uv"
)


def patience() -> float:
    """Seconds that an unreachable network may cost; `CIRCUITS_COURSE_TIMEOUT` overrides it."""
    try:
        return float(os.environ.get("CIRCUITS_COURSE_TIMEOUT", ""))
    except ValueError:
        return 4.0


def pip_command() -> list[str] | None:
    """How pip is called in this environment; None where it has none."""
    if find_spec("pip") is None:
        return None
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def uv_command() -> list[str] | None:
    """How uv is called; None where there is none. `uv run` says where it is."""
    found = os.environ.get("UV") or shutil.which("uv")
    return [found, "pip"] if found else None


def index_problem(requirement: str) -> str | None:
    """Why a package cannot be had from the index, in words; None if it can."""
    with tempfile.TemporaryDirectory() as scratch:
        command = _question(requirement, Path(scratch))
        if command is None:
            return NEITHER
        seconds = patience()
        patient = {**os.environ, "UV_HTTP_TIMEOUT": f"{max(1, round(seconds))}"}
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, env=patient
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {seconds:g} s (CIRCUITS_COURSE_TIMEOUT sets how long to wait)"
    return None if answer.returncode == 0 else last_line(answer.stderr)


def _question(requirement: str, scratch: Path) -> list[str] | None:
    if pip := pip_command():
        options = ["--retries", "0", "--timeout", f"{patience():.0f}"]
        return [*pip, "index", "versions", requirement.split("==")[0], *options]
    if uv := uv_command():
        options = ["--no-deps", "--dry-run", "--refresh-package", requirement.split("==")[0]]
        return [*uv, "install", *options, "--target", str(scratch), requirement]
    return None


def download_command(requirement: str, sha256: str, folder: Path) -> list[str] | None:
    """Fetches one package without what it needs: pip leaves its wheel in `folder`, uv its files,
    having checked their hash."""
    if pip := pip_command():
        options = ["--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]
        return [*pip, "download", *options, "--dest", str(folder), requirement]
    if uv := uv_command():
        pinned = folder.with_suffix(".txt")
        pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
        options = ["--no-deps", "--require-hashes", "--target", str(folder)]
        return [*uv, "install", *options, "--requirements", str(pinned)]
    return None


def last_line(text: str) -> str:
    """The last line that an installer said, less its own marks."""
    lines = [line.strip(" ╰─▶×") for line in text.splitlines() if line.strip(" ╰─▶×│")]
    return lines[-1].removeprefix("ERROR: ").removeprefix("error: ") if lines else "no reason given"
