"""Intervals and controls: what a measurement is worth."""

from __future__ import annotations

import numpy as np
import pytest

from circuits_course.circuits import beats, control_sets, interval, interval_bands
from circuits_course.errors import CourseError


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    draws = np.random.default_rng(0)
    hits = 0
    for seed in range(60):
        found = interval(draws.normal(1.0, 2.0, 30), seed=seed)
        hits += found.low <= 1.0 <= found.high
    assert 50 <= hits <= 60


def test_an_interval_says_mean_range_and_number():
    found = interval([1.0, 2.0, 3.0, 4.0])
    assert (found.mean, found.n) == (2.5, 4)
    assert found.low < 2.5 < found.high
    assert str(found).startswith("+2.50 [+")
    assert interval([2.0, 2.0]).low == 2.0
    with pytest.raises(CourseError, match="at least two"):
        interval([1.0])


def test_control_sets_are_distinct_of_the_same_layers_and_spare_the_tested():
    heads = [(3, 1), (3, 2), (5, 0)]
    sets = control_sets(heads, n_heads=9)
    assert len(sets) == 23
    assert len({tuple(s) for s in sets}) == 23
    for drawn in sets:
        assert sorted(layer for layer, _ in drawn) == [3, 3, 5]
        assert not set(drawn) & set(heads)
        assert len(set(drawn)) == 3
        assert all(0 <= head < 9 for _, head in drawn)
    assert sets == control_sets(heads, n_heads=9)
    assert sets != control_sets(heads, n_heads=9, seed=1)


def test_every_head_that_may_be_drawn_is_drawn():
    drawn = {head for s in control_sets([(0, 0)], n_heads=24) for _, head in s}
    assert drawn == set(range(1, 24))


def test_too_few_controls_are_refused():
    with pytest.raises(CourseError, match="Only 8 distinct"):
        control_sets([(3, 1)], n_heads=9)
    assert len(control_sets([(3, 1)], n_heads=9, fewest=8)) == 8


def test_beats_counts_with_sign():
    found = beats(0.5, [0.1, 0.6, -2.0])
    assert (found.more_than, found.of, str(found)) == (2, 3, "more than 2 of 3")


def test_bands_are_the_intervals_of_every_point():
    values = np.random.default_rng(3).normal(size=(9, 4))
    bands = interval_bands({"a": values, "b": values.tolist()})
    lows, highs = bands["a"]
    assert bands["a"] == bands["b"]
    for point in range(4):
        found = interval(values[:, point])
        assert (lows[point], highs[point]) == (found.low, found.high)


def test_many_units_cost_no_memory():
    import tracemalloc

    values = np.random.default_rng(0).normal(size=20_000)
    tracemalloc.start()
    found = interval(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.low < 0.02
    assert peak < 200e6
