"""Every solved notebook, run again in strict mode, says what it says in the repository."""

from __future__ import annotations

import pytest

from circuits_course.authoring import build

pytestmark = pytest.mark.rebuild


@pytest.mark.parametrize("chapter", build.chapters_with_source())
def test_a_new_run_says_the_same(chapter: str) -> None:
    assert build.drift([chapter], execute=True) == []
