"""Copies of the notebooks for Colab: a badge, and the one set-up cell, on top of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.storage import require_writable, source_dir, write_whole

BADGE, SET_UP = "colab-badge", "colab-set-up"  # ids of the two cells
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
    """The notebook with badge and set-up cell first, whatever stood there of an earlier stamp.

    place: the copy's path in the repository.
    """
    rest = [cell for cell in notebook["cells"] if cell.get("id") not in (BADGE, SET_UP)]
    return {**notebook, "cells": [_badge(repo, ref, place), _set_up(repo, ref), *rest]}


def require_published(repo: str, ref: str) -> None:
    """Raises CourseError for a repo or ref that GitHub cannot have."""
    if not _REPO.fullmatch(repo):
        raise CourseError(f"{repo!r} is no GitHub repository; write it as OWNER/NAME.")
    if not _REF.fullmatch(ref) or ".." in ref or ref.endswith(("/", ".lock")):
        raise CourseError(f"{ref!r} is no tag, branch or commit.")


def _badge(repo: str, ref: str, place: str) -> dict[str, Any]:
    link = f"https://colab.research.google.com/github/{repo}/blob/{ref}/{place}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return _cell("markdown", BADGE, [f"[![Open in Colab]({image})]({link})"])


def _set_up(repo: str, ref: str) -> dict[str, Any]:
    lines = [
        "# On Colab this installs the course; run it as often as you like.\n",
        f'%pip install -q "circuits-course @ git+https://github.com/{repo}@{ref}"\n',
        "from circuits_course.colab import set_up\n",
        "\n",
        "set_up()",
    ]
    return {**_cell("code", SET_UP, lines), "execution_count": None, "outputs": []}


def _cell(kind: str, name: str, source: list[str]) -> dict[str, Any]:
    return {"cell_type": kind, "id": name, "metadata": {}, "source": source}
