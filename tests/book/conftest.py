"""The book, made once for all of its tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from circuits_course.authoring.book.making import make_book


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a book without a repository: every link in it stays in it.

    Made by the first worker that asks; the others of the same run read it there.
    """
    worker = "PYTEST_XDIST_WORKER" in os.environ
    place = tmp_path_factory.getbasetemp().parent if worker else tmp_path_factory.mktemp("book")
    out = place / "site"
    with FileLock(place / "site.lock"):
        if not out.exists():
            make_book(out)
    return out
