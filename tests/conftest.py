"""What every test shares: a progress file and a model choice of the tests' own."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

# What takes long, longest first: begun first, so that no worker is left alone with it at the end.
LONG = ("checks/test_mutants", "browser/", "classroom/", "mystery/")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((i for i, n in enumerate(LONG) if item.nodeid.startswith(f"tests/{n}")), 9)

    items.sort(key=place)


def pytest_configure(config: pytest.Config) -> None:
    """Before any import of the course: nothing that a test does reaches the author's progress."""
    home = tempfile.mkdtemp(prefix="circuits-course-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["CIRCUITS_COURSE_HOME"] = home
    os.environ["CIRCUITS_COURSE_MODEL"] = "smollm2-135m"
    os.environ.pop("CIRCUITS_COURSE_STRICT", None)
    # Threads that wait for each other's cores spin; on a busy machine that takes minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
