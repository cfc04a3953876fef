"""Mutants of a function: small changes, each named, none twice; and the count of their fates."""

from __future__ import annotations

import ast
import signal

import pytest

from circuits_course.authoring import mutants
from circuits_course.authoring.mutation import Mutant, mutants_of

SOURCE = '''
def share(x, head: int, other: int, width: int = 2):
    """Not looked at: 7."""
    if head < 0:
        raise ValueError("7")
    part = x[:, head] - x[:, other]
    return part.mean(dim=0) / width
'''


def names() -> list[str]:
    return [mutant.name for mutant in mutants_of(SOURCE)]


@pytest.mark.parametrize(
    "name",
    [
        "`width` → always `2`",
        "`head` and `other` exchanged",
        "`head < 0` → `head <= 0`",
        "`head < 0` → `head > 0`",
        "`x[:, head] - x[:, other]` → `x[:, head] + x[:, other]`",
        "`part = x[:, head] - x[:, other]` → `part = x[:, other] - x[:, head]`",
        "`x[:, head] - x[:, other]` → `x[head] - x[:, other]`",
        "`part.mean(dim=0) / width` → `part.sum(dim=0) / width`",
        "`part.mean(dim=0) / width` → `part.mean() / width`",
        "`dim=0` → `dim=1`",
    ],
)
def test_a_slip_that_anyone_could_make_is_among_the_mutants(name: str) -> None:
    assert name in names()


def test_mutants_are_python_differ_from_the_reference_and_from_each_other() -> None:
    mutants = mutants_of(SOURCE)
    sources = {mutant.source for mutant in mutants}
    assert len(sources) == len(mutants) == len(set(names()))
    assert ast.unparse(ast.parse(SOURCE)) not in sources
    assert all(ast.parse(source) for source in sources)


def test_what_a_function_says_of_itself_is_left_alone() -> None:
    assert all("Not looked at: 7" in mutant.source for mutant in mutants_of(SOURCE))
    assert all("ValueError" in mutant.source for mutant in mutants_of(SOURCE))


def test_fates_are_counted() -> None:
    tally = mutants.tally("00", "zero_head")
    assert tally.tried == tally.named + len(tally.unnamed) + len(tally.equivalent)
    assert tally.named > 0
    assert tally.alive == tally.stale == []


@pytest.mark.parametrize("heeded", [True, False], ids=["in front", "in the background"])
def test_a_mutant_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch, heeded: bool) -> None:
    """A process begun in the background ignores interrupts."""
    handler = signal.default_int_handler if heeded else signal.SIG_IGN
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert_stopped(monkeypatch)
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def assert_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Mutant("endless", 1, "def split_heads(x, n_heads):\n    while True: pass")
    monkeypatch.setattr(mutants, "mutants_of", lambda source: [endless])
    monkeypatch.setattr(mutants, "SECONDS", 0.2)
    assert mutants.tally("00", "split_heads", causes=False).unnamed == [endless]
