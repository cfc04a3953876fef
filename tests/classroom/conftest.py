"""Where the tests of a class run without a sandbox, and the processes that they leave."""

from __future__ import annotations

import os

import pytest

from circuits_course.classroom import grading, sandbox
from circuits_course.classroom.judges import close_judges


@pytest.fixture(autouse=True)
def trusting(monkeypatch):
    """Without bubblewrap the class is run on trust; as root it is not run at all."""
    real = sandbox.require

    def require(trust: bool) -> sandbox.Confinement:
        if sandbox.confinement().program is None and getattr(os, "geteuid", lambda: 1)() == 0:
            pytest.skip("no bubblewrap that runs on this machine, and root needs one")
        return real(True)

    monkeypatch.setattr(grading, "require", require)


@pytest.fixture(scope="module", autouse=True)
def _no_judge_outlives_its_module():
    yield
    close_judges()
