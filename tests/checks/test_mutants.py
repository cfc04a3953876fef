"""Small changes of every reference fail its checks, but for those that compute the same."""

from __future__ import annotations

import warnings

import pytest

from circuits_course.authoring.mutants import equivalents, tally
from circuits_course.checks import load_checks, ready

EXERCISES = [(chapter, name) for chapter in ready() for name in load_checks(chapter).exercises]
each_exercise = pytest.mark.parametrize(("chapter", "name"), EXERCISES)


@each_exercise
def test_no_slip_of_the_reference_passes(chapter: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what mutants do to torch is theirs
        found = tally(chapter, name, causes=False)
    assert [f"line {mutant.line}: {mutant.name}" for mutant in found.alive] == [], (
        "these pass: add a case, or list them with a reason in equivalent.json"
    )
    assert found.stale == [], "these are listed as equivalent and are not, or are no mutants"


@pytest.mark.parametrize("chapter", ready())
def test_equivalent_mutants_have_their_reason(chapter: str) -> None:
    exercises = load_checks(chapter).exercises
    for name, reasons in equivalents(chapter).items():
        assert name in exercises
        assert all(len(reason) > 15 and mutants for reason, mutants in reasons.items())
