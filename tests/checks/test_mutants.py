"""Small changes of every reference fail its checks, but for those that compute the same."""

from __future__ import annotations

import warnings
from itertools import combinations

import pytest

from circuits_course.authoring.mutants import equivalents, tally
from circuits_course.checking.diagnosis import MOST, agreement
from circuits_course.checks import load_checks, ready

EXERCISES = [(chapter, name) for chapter in ready() for name in load_checks(chapter).exercises]
each_exercise = pytest.mark.parametrize(("chapter", "name"), EXERCISES)

# Mistakes that do the same on most cases, by their nature; whoever makes one reads the first.
SAME = {
    ("find_induction_heads", "duplicate_token_heads", "last_layer_missing"),
    ("largest_gap", "never_stops", "each_alone"),
    ("compare_profiles", "mean_reaches", "weak_ones_kept"),
    ("removable_heads", "costliest_first", "in_order_of_names"),
    ("smallest_cuts", "sets_kept", "share_of_a_nat"),
}


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


@each_exercise
def test_causes_are_told_apart_by_at_least_half_of_the_cases(chapter: str, name: str) -> None:
    exercise = load_checks(chapter).find_exercise(name)
    alike = {
        (name, one.name, other.name)
        for one, other in combinations(exercise.wrong_answers, 2)
        if agreement(exercise, one, other) > MOST
    }
    assert alike - SAME == set(), "add a case on which they differ"
