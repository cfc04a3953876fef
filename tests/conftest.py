"""What every test shares: a progress file and a model choice of the tests' own."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

# What takes long, longest first: begun first, so that no worker is left alone with it at the end.
LONG = (
    "tests/checks/", "tests/book/", "browser/", "classroom/", "mystery/", "models/",
    *(f"claims/test_c{chapter}" for chapter in ("08", "05", "04", "03", "06", "09", "11")),
    *(
        f"{test}[{chapter}_"
        for chapter in ("04", "03", "07", "06", "08", "09")
        for test in ("same", "shipped")
    ),
    "notebooks/test_rebuilt", "notebooks/test_as_shipped", "notebooks/test_other",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.nodeid))


def _place(test: str) -> int:
    return next((i for i, what in enumerate(LONG) if what in test), len(LONG))


@pytest.fixture(scope="session")
def smollm2():
    """One load for all tests of a worker; they leave the model as it was."""
    from circuits_course import load_model

    return load_model("smollm2-135m")


def pytest_configure(config: pytest.Config) -> None:
    """Before any import of the course: nothing that a test does reaches the author's progress."""
    home = tempfile.mkdtemp(prefix="circuits-course-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["CIRCUITS_COURSE_HOME"] = home
    os.environ["CIRCUITS_COURSE_MODEL"] = "smollm2-135m"
    os.environ.pop("CIRCUITS_COURSE_STRICT", None)
    # Threads that wait for each other's cores spin; on a busy machine that takes minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
