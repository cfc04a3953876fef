"""What turns the expected result into the one given, and arguments that were not heeded."""

from __future__ import annotations

import pytest
import torch

from circuits_course.checking.declaring import Case
from circuits_course.checking.exercise import Exercise
from circuits_course.checks.inputs import normal


@pytest.fixture
def cube():
    """Exercise: a cube [batch, row, column] as it is."""
    exercise = Exercise("cube", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        for seed in range(3):
            yield Case(f"cube {seed}", normal(4, 5, 3, seed=seed))

    exercise.oracle(lambda x: x + 0)
    return exercise


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x.mean(0), "Yours is the mean over axis 0 of the expected result"),
        (lambda x: x.sum(1), "Yours is the sum over axis 1 of the expected result"),
        (lambda x: x.amax(2), "Yours is the largest along axis 2 of the expected result"),
        (lambda x: x[0], "Yours is only entry 0 of axis 0 of the expected result"),
        (lambda x: x.permute(2, 0, 1), "yours are axes 2, 0, 1 of the expected result"),
        (lambda x: x[:, :, None], "axis 2, of length 1, is too many"),
        (lambda x: torch.stack([x / 2, x / 2], 1), "the result is the sum over your axis 1"),
        (lambda x: x.softmax(-1), "Yours is the softmax of the expected result"),
        (lambda x: x.abs(), "Yours is the absolute value of the expected result"),
        (lambda x: x.exp(), "Yours is the exponential of the expected result"),
        (lambda x: x.clamp(min=0), "Yours is what is left above 0 of the expected result"),
        (lambda x: x.flip(1), "Yours runs backwards along axis 1"),
        (lambda x: torch.cat([x[:1], 0 * x[1:]]), "Only entry 0 of axis 0 is right"),
        (lambda x: list(x), "torch.stack(..., dim=0)"),
    ],
)
def test_what_was_done_to_the_right_result_is_said(cube, answer, words):
    assert words in cube.check(answer).message


def test_what_holds_on_one_case_of_three_is_not_said(cube):
    first = normal(4, 5, 3)
    message = cube.check(
        lambda x: x.abs() if torch.equal(x, first) else x.sin().cos() + x**3
    ).message
    assert "Yours is" not in message


@pytest.fixture
def picked():
    """Exercise: row `row` of x, column `column`, times `sign`, as one number for each sheet."""
    exercise = Exercise("picked", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        for seed, (row, column, up) in enumerate([(1, 2, True), (2, 0, False), (1, 0, True)]):
            yield Case(f"row {row}", normal(5, 4, 4, seed=seed), row, column, up)

    @exercise.oracle
    def oracle(x, row, column, up):
        return torch.stack([sheet[row, column] * (1 if up else -1) for sheet in x])

    @exercise.wrong("the sign is turned everywhere.")
    def turned(x, row, column, up):
        return -oracle(x, row, column, up)

    return exercise


def right(x, row, column, up):
    return x[:, row, column] * (1 if up else -1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, row, column, up: right(x, column, row, up), "`row` and `column` are exchanged"),
        (lambda x, row, column, up: right(x, 0, column, up), "`row` is not heeded"),
        (lambda x, row, column, up: right(x, row, 2, up), "for column = 2"),
        (lambda x, row, column, up: right(x, row - 1, column, up), "off by one in `row`"),
        (lambda x, row, column, up: right(x, row, column, True), "`up` is not heeded"),
        (lambda x, row, column, up: right(x, row, column, not up), "the sign is turned"),
        (lambda x, row, column, up: right(x.mT, row, column, up), "exchanged"),
        (
            lambda x, *rest: right(x[:1].expand_as(x), *rest),
            "every row got the result of the first",
        ),
    ],
)
def test_arguments_not_heeded_or_exchanged_are_named(picked, answer, words):
    message = picked.check(answer).message
    assert "Likely" in message
    assert words in message


def test_other_arguments_are_not_made_up(picked):
    message = picked.check(lambda x, row, column, up: right(x, row, column, up) ** 2).message
    assert "Likely" not in message


def test_of_a_list_only_the_last_counts():
    exercise = Exercise("added", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        yield Case("two", normal(5, 4), [0, 1])
        yield Case("three", normal(3, 4, seed=1), [2, 0, 1])

    exercise.oracle(lambda x, places: sum(x[:, place] for place in places))
    message = exercise.check(lambda x, places: x[:, places[-1]]).message
    assert "Likely: only the last of `places` counts" in message
