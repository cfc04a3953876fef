"""The book, made once for all of its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuits_course.authoring.book.making import make_book


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a book without a repository: every link in it stays in it."""
    out = tmp_path_factory.mktemp("book") / "site"
    make_book(out)
    return out
