"""The one change of an answer with which every case passes: where it is, and when none is told."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time

import pytest
import torch

from circuits_course.checking.aside import in_a_copy
from circuits_course.checking.declaring import Case
from circuits_course.checking.exercise import Exercise
from circuits_course.checking.outcome import Outcome
from circuits_course.checking.repair import ONE_CHANGE
from circuits_course.checking.time_limit import time_limit

SEEN: list[float] = []

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no copies of processes there")


@pytest.fixture(scope="module")
def exercise():
    """A pattern's attention to the places `back` before each query, per head."""
    made = Exercise("look_back", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @made.cases
    def _():
        g = torch.Generator().manual_seed(0)
        for sizes, back in (((1, 2, 3, 3), 1), ((2, 3, 6, 6), 2), ((3, 2, 7, 7), 3)):
            yield Case(f"{back} back", torch.rand(sizes, generator=g), back)

    @made.oracle
    def _(pattern, back):
        n = pattern.shape[-1]
        per_query = [pattern[:, :, i, i - back] for i in range(back, n)]
        return torch.stack(per_query).mean(0).mean(0)

    return made


def over_too_many_axes(pattern, back):
    stripe = pattern.diagonal(-back, dim1=-2, dim2=-1)
    return stripe.mean(-1).mean(0).mean(0)


def a_sum_somewhere(pattern, back):
    total = torch.zeros(pattern.shape[1])
    for query in range(back, pattern.shape[-1]):
        total += pattern[:, :, query, query - back].sum(0)
    return total / (pattern.shape[-1] - back)


def a_step_missing(pattern, back):
    return pattern.diagonal(-back, dim1=-2, dim2=-1).mean(-1)


def one_off(pattern, back):
    heads = []
    for head in range(pattern.shape[1]):
        one = pattern[:, head]
        heads.append(one[:, back:-1].diagonal(0, 1, 2).mean())
    return torch.stack(heads)


def the_wrong_variable(pattern, back):
    queries = torch.arange(back, pattern.shape[-1])
    keys = queries - back
    return pattern[:, :, keys, keys].mean((0, 2))


def returns_too_early(pattern, back):
    found = []
    for head in range(pattern.shape[1]):
        found.append(pattern[:, head].diagonal(-back, 1, 2).mean())
        return torch.stack(found)


def crashes(pattern, back):
    return pattern.diagonal(-back, dim1=-2, dim2=-1).mean((0, 3))


def talks(pattern, back):
    print("looking")
    return -pattern.diagonal(-back, dim1=-2, dim2=-1).mean((0, -1))


@pytest.mark.parametrize(
    ("answer", "line", "words"),
    [
        (over_too_many_axes, 3, "leave out `.mean(0)` after `stripe.mean(-1).mean(0)`"),
        (a_sum_somewhere, 4, "another function in place of `sum`"),
        (a_step_missing, 2, "take the mean of `pattern.diag"),
        (one_off, 5, "another range in `one[:, back:-1]`"),
        (the_wrong_variable, 4, "another variable in place of `keys` in `pattern["),
        (returns_too_early, 5, "`return torch.stack(found)` after the block that it stands in"),
        (crashes, 2, "another value in place of `3`"),
        (talks, 3, "leave out what stands before"),
    ],
)  # fmt: skip
def test_the_place_is_named(exercise, answer, line, words, capsys):
    result = exercise.check(answer)
    said = capsys.readouterr().out
    assert result.diagnosis == ONE_CHANGE, result.message
    assert f"One change, in line {line} of your function, makes every case pass:" in result.message
    assert words in result.message
    assert said.count("looking") <= len(exercise.built_cases())


def two_mistakes(pattern, back):
    return -pattern.diagonal(-back - 1, dim1=-2, dim2=-1).mean((0, 2))


def something_else(pattern, back):
    return torch.full((pattern.shape[1],), 0.3)


@pytest.mark.parametrize("answer", [two_mistakes, something_else])
def test_nothing_is_made_up(exercise, answer):
    result = exercise.check(answer)
    assert result.outcome is Outcome.WRONG
    assert result.diagnosis is None, result.message


def leaves_a_trace(pattern, back):
    SEEN.append(float(pattern.sum()))
    return pattern.diagonal(-back, dim1=-2, dim2=-1).mean((0, 2)).cos()


def test_what_is_tried_leaves_no_trace(exercise):
    SEEN.clear()
    assert "leave out `.cos()`" in exercise.check(leaves_a_trace).message
    assert len(SEEN) == len(exercise.built_cases())


def writes_a_file(pattern, back):
    torch.save(pattern, "pattern.pt")
    return pattern.diagonal(-back, dim1=-2, dim2=-1).mean((0, 2)).cos()


def test_who_writes_files_is_not_run_again(exercise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "One change" not in exercise.check(writes_a_file).message


def test_where_no_copy_can_be_made_the_check_goes_on(exercise, monkeypatch):
    def refused():
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    before = len(os.listdir("/proc/self/fd"))
    result = exercise.check(over_too_many_axes)
    assert result.outcome in (Outcome.WRONG, Outcome.CRASHED)
    assert result.diagnosis is None
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "work",
    [
        lambda: ctypes.string_at(0),  # ends the process
        lambda: str(bytearray(50_000_000_000)[:1]),
        lambda: time.sleep(60),
        lambda: os._exit(3),
        lambda: 1 / 0,
    ],
)
def test_harm_comes_to_the_copy_alone(work):
    began = time.monotonic()
    assert in_a_copy(work, 1.0) == ""
    assert time.monotonic() - began < 5
    assert in_a_copy(lambda: "all is well", 5.0) == "all is well"


def test_without_a_source_nothing_is_said_of_a_line(exercise):
    scope = {"torch": torch}
    exec("def f(pattern, back):\n    return -pattern.diagonal(-back, 2, 3).mean((0, 2))", scope)
    assert "One change" not in exercise.check(scope["f"]).message


def test_a_cause_on_file_that_fits_every_case_is_told_first():
    made = Exercise("root", difficulty=1, importance=1, minutes=1, hints=["a", "b"])

    @made.cases
    def _():
        yield from (Case(f"the number {x}", x) for x in (4.0, 9.0, 25.0))

    made.oracle(lambda x: x**0.5)

    @made.wrong("You took the square.")
    def squared(x):
        return x * x

    def mine(x):
        return x**2

    assert made.check(mine).diagnosis == "squared"

    def half(x):
        return x**0.5 / 2

    assert made.check(half).diagnosis == ONE_CHANGE


def never_ends(pattern, back):
    total, at = torch.zeros(pattern.shape[1]), back
    while at < pattern.shape[-1]:
        total += pattern[:, :, at, at - back].mean(0)
        at += 1
    return total


def test_a_change_that_never_ends_is_given_up(exercise):
    began = time.monotonic()
    assert exercise.check(never_ends).outcome is Outcome.WRONG
    assert time.monotonic() - began < 10


def test_time_is_up_in_any_thread():
    found = []

    def work():
        try:
            with time_limit(0.1):
                while True:
                    pass
        except KeyboardInterrupt:
            found.append("over")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert found == ["over"]


def test_who_ends_in_time_is_left_alone():
    for wait in range(20):
        with contextlib.suppress(KeyboardInterrupt), time_limit(0.001 + wait / 10_000):
            time.sleep(0.001)
    time.sleep(0.1)  # nothing comes afterwards
