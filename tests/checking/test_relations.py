"""What turns the expected result into the one given, and arguments that were not heeded."""

from __future__ import annotations

import math

import pytest
import torch

from circuits_course.checking.declaring import Case
from circuits_course.checking.exercise import Exercise
from circuits_course.checking.tolerance import Tolerance
from circuits_course.checks.inputs import normal


@pytest.fixture
def cube():
    """Exercise: each number of a cube [batch, row, column] plus its third power."""
    exercise = Exercise("cube", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        for seed in range(3):
            yield Case(f"cube {seed}", normal(4, 5, 3, seed=seed))

    exercise.oracle(bent)
    return exercise


def bent(x):
    return x**3 + x


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
        (lambda x: x - x.mean(1, keepdim=True), "less its mean along axis 1"),
        (lambda x: x / x.norm(dim=2, keepdim=True), "divided by its length along axis 2"),
        (lambda x: x.softmax(0), "Yours is the softmax along axis 0 of the expected result"),
        (lambda x: x.cumsum(1), "Yours is the running sum along axis 1 of the expected result"),
        (lambda x: x[:, -1:].expand_as(x), "holds its last entry of axis 1 of the expected"),
        (lambda x: x + x[:, :1].cos(), "Along axis 1 yours is off by one number"),
        (lambda x: x * x[:, :1].exp(), "Along axis 1 yours is the expected result times one"),
        (lambda x: torch.where(x > 1, 0, x), "Where yours differs it is 0"),
        (lambda x: 1e-5 * x, "Yours is next to nothing everywhere"),
        (lambda x: 0.02 * x, "Yours is the expected result times 0.02 everywhere"),
    ],
)
def test_what_was_done_to_the_right_result_is_said(cube, answer, words):
    assert words in cube.check(lambda x: answer(bent(x))).message


def test_that_a_first_position_is_right_is_not_told(cube):
    """It sees only itself in causal models, so that nearly every mistake is right there."""
    message = cube.check(lambda x: torch.cat([bent(x)[:, :1], x[:, 1:].sin()], 1)).message
    assert "Only entry 0" not in message


def test_what_holds_on_one_case_of_three_is_not_said(cube):
    first = normal(4, 5, 3)
    message = cube.check(
        lambda x: bent(x).abs() if torch.equal(x, first) else x.sin().cos() + x**3
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


@pytest.fixture
def scaled():
    """Exercise: row sums of a table, times 2, without a look at `n`."""
    exercise = Exercise("scaled", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @exercise.cases
    def cases():
        for n, width in [(3, 4), (7, 5), (4, 9)]:
            yield Case(f"n = {n}", normal(6, width, seed=n), n)

    exercise.oracle(lambda x, n: 2 * x.sin())
    return exercise


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, n: 2 * x.sin() * n, "Yours is the expected result times `n`"),
        (lambda x, n: 2 * x.sin() / x.shape[1] ** 0.5, "divided by the root of the length of"),
        (lambda x, n: 2 * x.sin() * (n + 0.5), "times a number that changes from case to case"),
        (lambda x, n: 2 * x.sin() / math.log(2), "1 / ln 2, as of a logarithm to base 2"),
        (lambda x, n: 2 * x.sin() + x, "Yours is the expected result plus `x`"),
        (lambda x, n: 2 * x.sin() * x, "Yours is the expected result times `x`"),
        (lambda x, n: x.clone(), "Yours is `x` as it came"),
        (lambda x, n: 2 * x.softmax(-1).sin(), "a softmax has been taken of `x` first"),
        (lambda x, n: 2 * x.square().sin(), "the square of `x` is used"),
    ],
)
def test_what_the_result_has_to_do_with_the_arguments_is_said(scaled, answer, words):
    assert words in scaled.check(answer).message


def test_within_a_wide_tolerance_no_scale_is_made_up():
    exercise = Exercise(
        "near",
        difficulty=1,
        importance=1,
        minutes=1,
        hints=["a", "b"],
        tolerance=Tolerance(0.3, 0.3),
    )
    exercise.cases(lambda: [Case(f"{seed}", normal(40, seed=seed)) for seed in range(3)])
    exercise.oracle(lambda x: x + 3)
    message = exercise.check(lambda x: x + 3 + 0.31 * (x * 50).sin().sign()).message
    assert "Yours is" not in message


def test_keys_and_entries_that_lack_are_listed():
    exercise = Exercise("kept", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: [Case("four", [1, 2, 3, 4])])
    exercise.oracle(lambda x: [n for n in x if n != 3])
    message = exercise.check(lambda x: [n for n in x if n != 4]).message
    assert "Missing in yours: [4]. Too many in yours: [3]." in message
    table = Exercise("table", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    table.cases(lambda: [Case("four", [1, 2, 3, 4])])
    table.oracle(lambda x: {n: float(n) for n in x})
    assert "Missing: 1." in table.check(lambda x: {n: float(n) for n in x[1:]}).message


def test_of_two_causes_that_fit_alike_none_is_named():
    exercise = Exercise("first_one", difficulty=1, importance=1, minutes=1, hints=["a", "b"])
    exercise.cases(lambda: [Case("a", normal(5)), Case("b", normal(5, seed=1) * 0 + 2)])
    exercise.oracle(lambda x: x.argmax() + x)
    exercise.wrong("one of the two.")(lambda x: x if x[0] != 2 else x + 1)
    exercise.wrong("the other.")(lambda x: x if x[0] != 2 else x + 2)
    assert "one of the two" not in exercise.check(lambda x: x if x[0] != 2 else x + 3).message
