"""Comparing two runs of a notebook: words to the letter, numbers to their digits."""

from __future__ import annotations

import pytest
from nbformat import v4

from circuits_course.authoring.outputs import first_difference, text_difference


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 0.123", "loss 0.124"),
        ("loss 12.5 nats", "loss 12.6 nats"),
        ("difference 2.1e-06", "difference 1.4e-06"),
        ("head    score\n17.3     0.74", "head  score\n17.3   0.73"),
        ("−0.51", "-0.50"),
    ],
)
def test_last_digits_may_differ(old, new):
    assert text_difference(old, new) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 0.12", "loss 0.19"),
        ("4 heads", "5 heads"),
        ("head 17", "head 18"),
        ("more than 21 of 23", "more than 20 of 23"),
        ("✔ Holds: it copies", "✘ Does not hold: it copies"),
        ("one line", "one line\nand another"),
        ("sign +0.50", "sign -0.50"),
        ("token a is 1", "token.a is 1"),
    ],
)
def test_words_counts_and_larger_differences_are_drift(old, new):
    assert text_difference(old, new)


def test_the_cell_is_named():
    cells = [v4.new_code_cell("x", id="first"), v4.new_code_cell("y", id="second")]
    for cell in cells:
        cell.outputs = [v4.new_output("stream", text="0.5\n")]
    fresh = [v4.new_code_cell(cell.source, id=cell.id) for cell in cells]
    fresh[0].outputs = [v4.new_output("stream", text="0.5\n")]
    fresh[1].outputs = [v4.new_output("stream", text="0.9\n")]
    assert first_difference(cells, fresh) == "cell 2 (second) says '0.5', a new run '0.9'"
    fresh[1].outputs = []
    assert "has 1 outputs, a new run 0" in first_difference(cells, fresh)
