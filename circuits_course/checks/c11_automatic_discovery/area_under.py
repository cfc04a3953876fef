"""Exercise `area_under`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuits_course.checking import Case, Exercise
from circuits_course.checks.inputs import normal
from circuits_course.checks.slips import slip

area_under = Exercise(
    "area_under",
    difficulty=1,
    importance=2,
    minutes=5,
    hints=[
        "Between two neighbouring points lies a trapezoid: how wide, and how high on average?",
        "(shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2, summed over i from 1 on.",
    ],
)


@area_under.cases
def _cases() -> Iterator[Case]:
    yield Case("a line from 0 to 1", [0.0, 1.0], [0.0, 1.0])
    yield Case("half the height at a tenth of the way", [0.0, 0.1, 1.0], [0.0, 0.5, 1.0])
    yield Case("a curve above 1", [0.0, 0.01, 0.1, 0.5, 1.0], [0.0, 0.8, 1.3, 1.1, 1.0])
    yield Case("a curve below 0", [0.0, 0.25, 1.0], [0.0, -2.0, 1.0])
    for seed in range(2):
        shares = normal(7, seed=seed).abs().sort().values.tolist()
        yield Case("seven uneven points", shares, normal(7, seed=seed + 10).tolist())


@area_under.oracle
def _oracle(shares: Sequence[float], values: Sequence[float]) -> float:
    """By many thin rectangles under the straight lines."""
    area, thin = 0.0, 2000
    for a, b, low, high in zip(shares, shares[1:], values, values[1:], strict=False):
        heights = [low + (high - low) * (i + 0.5) / thin for i in range(thin)]
        area += (b - a) * sum(heights) / thin
    return area


@area_under.wrong(
    "the mean of the values forgets how far apart the points are. Here most points crowd at small "
    "circuits: weigh each stretch by its width."
)
def mean_height(shares: Sequence[float], values: Sequence[float]) -> float:
    return sum(values) / len(values)


@area_under.wrong("each stretch has the height of its left end. Take the mean of both ends.")
def left_ends(shares: Sequence[float], values: Sequence[float]) -> float:
    return sum((b - a) * y for a, b, y in zip(shares, shares[1:], values, strict=False))


@area_under.wrong("each stretch has the height of its right end. Take the mean of both ends.")
def right_ends(shares: Sequence[float], values: Sequence[float]) -> float:
    return sum((b - a) * y for a, b, y in zip(shares, shares[1:], values[1:], strict=False))


@area_under.wrong("a trapezoid's height is the *mean* of its two ends: divide by 2.")
def not_halved(shares: Sequence[float], values: Sequence[float]) -> float:
    return 2 * _oracle(shares, values)


@area_under.wrong(
    "stretches below 0 were counted as if they lay above. An area under the axis is negative."
)
def always_positive(shares: Sequence[float], values: Sequence[float]) -> float:
    return _oracle(shares, [abs(value) for value in values])


@area_under.wrong("the points are taken as evenly spaced. Use the shares.")
def evenly_spaced(shares: Sequence[float], values: Sequence[float]) -> float:
    step = (shares[-1] - shares[0]) / (len(shares) - 1)
    return _oracle([i * step for i in range(len(shares))], values)


slip(
    area_under,
    "cut_at_0",
    "what lies below 0 was left out. An area under the axis is negative.",
    (
        "area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2",
        "area += (shares[i] - shares[i - 1]) * (max(values[i], 0) + max(values[i - 1], 0)) / 2",
    ),
)


slip(
    area_under,
    "cut_at_1",
    "what lies above 1 was cut off. Take the values as they are.",
    (
        "area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2",
        "area += (shares[i] - shares[i - 1]) * (min(values[i], 1) + min(values[i - 1], 1)) / 2",
    ),
)


slip(
    area_under,
    "divided_by_the_width",
    "the area was divided by the width. It is the sum of the trapezoids, no mean.",
    ("return area", "return area / (shares[-1] - shares[0])"),
)


slip(
    area_under,
    "last_stretch_missing",
    "the last stretch is missing: there is one between each point and the next.",
    ("range(1, len(shares))", "range(1, len(shares) - 1)"),
)


slip(
    area_under,
    "first_stretch_missing",
    "the first stretch is missing: there is one between each point and the next.",
    ("range(1, len(shares))", "range(2, len(shares))"),
)


slip(
    area_under,
    "steps_of_values",
    "the steps of the values were weighed by the shares. Weigh the mean height by the step "
    "of the shares.",
    (
        "area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2",
        "area += (values[i] - values[i - 1]) * (shares[i] + shares[i - 1]) / 2",
    ),
)


slip(
    area_under,
    "shares_weigh",
    "each value was weighed by its share itself. Weigh it by how far the next point is.",
    (
        "area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2",
        "area += shares[i] * (values[i] + values[i - 1]) / 2",
    ),
)


slip(
    area_under,
    "larger_end",
    "each stretch has the height of its higher end. Take the mean of both ends.",
    (
        "area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2",
        "area += (shares[i] - shares[i - 1]) * max(values[i], values[i - 1])",
    ),
)


slip(
    area_under,
    "area_up_to_1",
    "that is the area between the curve and 1. Asked is the area under the curve.",
    (
        "area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2",
        "area += (shares[i] - shares[i - 1]) * (abs(1 - values[i]) + abs(1 - values[i - 1])) / 2",
    ),
)


slip(
    area_under,
    "lower_of_the_two",
    "the lower of the two heights was taken. A trapezoid has their mean.",
    (
        "(values[i] + values[i - 1]) / 2",
        "min(values[i], values[i - 1])",
    ),
)
