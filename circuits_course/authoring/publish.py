"""Copies of the notebooks for Colab: badge and set-up on top, progress kept at the end."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.storage import PACKAGE, require_writable, source_dir, write_whole

BADGE, SET_UP, KEEP = "colab-badge", "colab-set-up", "colab-keep"  # ids of the cells
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def publish(repo: str, ref: str, out: Path) -> list[Path]:
    """Writes a stamped copy of every student notebook into `out`; returns their paths.

    repo: "owner/name" on GitHub. ref: the tag, branch or commit that learners install and open.
    The copies belong into the repository's folder of the same name as `out`, at that tag. The same
    arguments give the same bytes. Raises CourseError for a repo or ref that GitHub cannot have.
    """
    require_published(repo, ref)
    if out.resolve() == source_dir("notebooks").resolve():
        raise CourseError("The notebooks themselves are built; give another folder for the copies.")
    require_writable(out)
    written = []
    for path in sorted(source_dir("notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        place = f"{out.name}/{path.name}"
        text = json.dumps(stamped(notebook, repo, ref, place), indent=1, ensure_ascii=False) + "\n"
        write_whole(out / path.name, text.encode())
        written.append(out / path.name)
    return written


def stamped(notebook: dict[str, Any], repo: str, ref: str, place: str) -> dict[str, Any]:
    """The notebook with badge and set-up cell first and a cell that keeps progress last.

    What stood there of an earlier stamp goes.

    place: the copy's path in the repository.
    """
    rest = [cell for cell in notebook["cells"] if cell.get("id") not in (BADGE, SET_UP, KEEP)]
    return {**notebook, "cells": [_badge(repo, ref, place), _set_up(repo, ref), *rest, _keep()]}


def next_steps(repo: str, ref: str, paths: Sequence[Path]) -> list[str]:
    """What is left to do, in words and commands, then the links to hand out."""
    folder = paths[0].parent
    links = [f"  {_link(repo, ref, f'{folder.name}/{path.name}')}" for path in paths]
    if _holds(ref, paths):
        return [f"{ref} holds these copies. When it is pushed, hand out:", *links]
    lead = f"{ref} does not hold these copies yet, and learners' links end nowhere until it does."
    if _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"):
        lead = (
            f"{ref} exists and does not hold these copies: take a new tag, or move it (git tag -f)."
        )
    commands = (
        f"git add {folder}", f'git commit -m "Copies for Colab, {ref}"', f"git tag {ref}",
        f"git push origin HEAD {ref}",
    )  # fmt: skip
    return [lead, *(f"  {command}" for command in commands), "Then hand out:", *links]


def _holds(ref: str, paths: Sequence[Path]) -> bool:
    folder = paths[0].parent.name
    return all(_git("show", f"{ref}:{folder}/{path.name}") == path.read_bytes() for path in paths)


def _git(*arguments: str) -> bytes:
    """What git says in the checkout; nothing where it fails or is not there."""
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def require_published(repo: str, ref: str) -> None:
    """Raises CourseError for a repo or ref that GitHub cannot have."""
    if repo.endswith(".git"):
        raise CourseError(f"{repo!r} ends in .git, which GitHub leaves out: {repo[:-4]}.")
    if not _REPO.fullmatch(repo):
        raise CourseError(f"{repo!r} is no GitHub repository; write it as OWNER/NAME.")
    if not _REF.fullmatch(ref) or ".." in ref or ref.endswith(("/", ".lock")):
        raise CourseError(f"{ref!r} is no tag, branch or commit.")


def _link(repo: str, ref: str, place: str) -> str:
    return f"https://colab.research.google.com/github/{repo}/blob/{ref}/{place}"


def _badge(repo: str, ref: str, place: str) -> dict[str, Any]:
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return _cell("markdown", BADGE, [f"[![Open in Colab]({image})]({_link(repo, ref, place)})"])


def _set_up(repo: str, ref: str) -> dict[str, Any]:
    return _code(
        SET_UP,
        "# On Colab this installs the course; run it as often as you like.",
        f'%pip install -q "circuits-course @ git+https://github.com/{repo}@{ref}"',
        "import importlib.util",
        "",
        "importlib.invalidate_caches()",
        'if importlib.util.find_spec("circuits_course"):',
        "    from circuits_course.notebook.colab import set_up",
        "",
        "    set_up()",
        "else:",
        f'    print("✘ The course could not be installed from github.com/{repo} at {ref}. "',
        '          "Does that tag exist, and is the repository public? "',
        '          "Ask whoever gave you this notebook.")',
    )


def _keep() -> dict[str, Any]:
    return _code(
        KEEP,
        "# Colab forgets when it disconnects. This keeps your progress on your Google Drive and",
        "# brings back what is there; it asks for permission. Run it on leaving and on returning.",
        "from circuits_course.notebook.colab import keep_on_drive",
        "",
        "keep_on_drive(chapter)",
    )


def _code(name: str, *lines: str) -> dict[str, Any]:
    source = "\n".join(lines).splitlines(keepends=True)
    return {**_cell("code", name, source), "execution_count": None, "outputs": []}


def _cell(kind: str, name: str, source: list[str]) -> dict[str, Any]:
    return {"cell_type": kind, "id": name, "metadata": {}, "source": source}
