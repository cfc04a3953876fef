"""Every exercise of every chapter: right answers pass, wrong ones get their diagnosis."""

from __future__ import annotations

import linecache
from dataclasses import replace
from importlib import import_module
from itertools import combinations

import pytest

from circuits_course.checking.diagnosis import MOST, agreement, cause_on_file
from circuits_course.checking.outcome import Outcome
from circuits_course.checks import load_checks, ready
from circuits_course.checks.references import load_reference, stub_source

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


# Mistakes that, were they not on file, would be taken for another on file.
TAKEN_FOR = {
    ("score_variance", "scaled_too_much", "products_not_summed"),
    ("score_variance", "products_not_summed", "scaled_too_much"),
}


def taken_for_another(exercise):
    """Each mistake is taken off the file in turn, with those declared the same: whatever is named
    then is somebody else's. Runs nothing where `agreement` ran."""
    taken = set()
    for wrong in exercise.wrong_answers:
        gone = {wrong.name}.union(*(pair for pair in SAME if wrong.name in pair))
        rest = [other for other in exercise.wrong_answers if other.name not in gone]
        findings = exercise.known_findings[wrong.name]
        cause = cause_on_file(replace(exercise, wrong_answers=rest), findings)
        if cause:
            taken.add((exercise.name, wrong.name, cause.name))
    return taken


def right_answers(chapter, name):
    """Those of `tests/right_answers/cNN_topic/NAME.py`."""
    return import_module(f"right_answers.c{chapter}.{name}").RIGHT


def stub(chapter, name):
    """The stub as a notebook defines it, its source known to inspect."""
    source = stub_source(chapter, name)
    file = f"<stub {chapter} {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = dict(vars(load_reference(chapter)))
    exec(compile(source, file, "exec"), scope)
    return scope[name]


@each_exercise
def test_reference_passes(chapter, name):
    result = load_checks(chapter).exercises[name].check(getattr(load_reference(chapter), name))
    assert result.outcome is Outcome.PASSED, result.text


@each_exercise
def test_stub_is_not_attempted(chapter, name):
    result = load_checks(chapter).exercises[name].check(stub(chapter, name))
    assert result.outcome is Outcome.NOT_ATTEMPTED, result.text


@each_exercise
def test_enough_wrong_and_right_answers_are_on_file(chapter, name):
    wrong, right = load_checks(chapter).exercises[name].wrong_answers, right_answers(chapter, name)
    assert len(wrong) >= 3, f"{name} has {len(wrong)} wrong answers on file; write at least three"
    assert len({answer.name for answer in wrong}) == len(wrong), f"{name}: a name stands twice"
    assert len(right) >= 2, f"{name} has {len(right)} right answers on file; write at least two"


@pytest.mark.parametrize(
    ("chapter", "name", "wrong"),
    [
        pytest.param(chapter, name, wrong, id=f"{chapter[:2]}-{name}-{wrong.name}")
        for chapter, name in EXERCISES
        for wrong in load_checks(chapter).exercises[name].wrong_answers
    ],
)
def test_wrong_answer_meets_its_own_sentence(chapter, name, wrong):
    result = load_checks(chapter).exercises[name].check(wrong.function)
    assert result.outcome is not Outcome.PASSED, (
        f"{wrong.name} passes every case of {name}; add one that tells it apart"
    )
    assert result.outcome is not Outcome.NOT_ATTEMPTED, f"{wrong.name} looks like a stub"
    assert result.diagnosis == wrong.name, (
        f"{wrong.name} is met with the sentence of {result.diagnosis}: {result.text}"
    )
    assert wrong.because in result.message


@each_exercise
def test_causes_are_told_apart_by_at_least_half_of_the_cases(chapter, name):
    exercise = load_checks(chapter).find_exercise(name)
    alike = {
        (name, one.name, other.name)
        for one, other in combinations(exercise.wrong_answers, 2)
        if agreement(exercise, one, other) > MOST
    }
    assert alike - SAME == set(), "add a case on which they differ"
    assert taken_for_another(exercise) - TAKEN_FOR == set(), "add what tells them apart"


@pytest.mark.parametrize(
    ("chapter", "name", "right"),
    [
        pytest.param(chapter, name, right, id=f"{chapter[:2]}-{name}-{right.__name__}")
        for chapter, name in EXERCISES
        for right in right_answers(chapter, name)
    ],
)
def test_right_answer_in_another_style_passes(chapter, name, right):
    result = load_checks(chapter).find_exercise(name).check(right)
    assert result.outcome is Outcome.PASSED, result.text


@each_exercise
def test_hints_come_in_steps(chapter, name):
    hints = load_checks(chapter).exercises[name].hints
    assert len(hints) >= 2
    assert len(set(hints)) == len(hints)
