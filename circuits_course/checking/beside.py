"""What the results have to do with the arguments: added to them, multiplied by a size of theirs.

Asked over all failed cases, because one case cannot tell 4 heads from 4 positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.tolerance import NOTHING, Tolerance, close

SURE = 0.95  # of the difference that a scale has to explain, where tolerances are wide


@dataclass(frozen=True)
class Pair:
    """What was expected and given on one case, as tensors, and the arguments by name."""

    arguments: dict[str, Any]
    expected: Tensor
    got: Tensor


def as_pair(arguments: dict[str, Any], expected: Any, got: Any) -> Pair | None:
    """A pair, where both are numbers or tensors of them, or tables of numbers with equal keys."""
    e, g = _numbers(expected), _numbers(got)
    if isinstance(expected, dict) and (not isinstance(got, dict) or list(expected) != list(got)):
        return None
    if e is None or g is None or not (e.isfinite().all() and g.isfinite().all()):
        return None
    return Pair(arguments, e, g)


def _numbers(value: Any) -> Tensor | None:
    if isinstance(value, Tensor) and value.is_floating_point() and _is_plain(value):
        return value.detach().double()
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    if isinstance(value, dict) and value and all(type(v) is float for v in value.values()):
        return torch.tensor(list(value.values()), dtype=torch.float64)
    return None


def _is_plain(value: Tensor) -> bool:
    return value.layout == torch.strided and not value.is_nested and not value.is_meta


# --- a scale ----------------------------------------------------------------------------------

_OF_A_SIZE: dict[str, Callable[[float], float]] = {
    "times {}": lambda n: n,
    "divided by {}": lambda n: 1 / n,
    "times the root of {}": math.sqrt,
    "divided by the root of {}": lambda n: 1 / math.sqrt(n),
    "times the square of {}": lambda n: n * n,
    "divided by the square of {}": lambda n: 1 / (n * n),
}
_CONSTANTS = {
    1 / math.log(2): "1 / ln 2, as of a logarithm to base 2",
    1 / math.log(10): "1 / ln 10, as of a logarithm to base 10",
    math.log(2): "ln 2",
}


def scale_relation(pairs: Sequence[Pair], tolerance: Tolerance) -> str:
    """By what the expected results are multiplied, named after a size of the arguments."""
    scales = [_scale(pair, tolerance) for pair in pairs]
    if not scales or any(scale is None for scale in scales):
        return ""
    if sum(pair.expected.numel() for pair in pairs) < 3:
        return ""
    found = [scale for scale in scales if scale is not None]
    if max(map(abs, found)) < NOTHING:
        return ""  # nothing is left of the result: `relation_of` says so
    if math.isclose(min(found), max(found), rel_tol=1e-3):
        return _constant(found[0])
    for name in _sizes(pairs[0].arguments):
        sizes = [dict(_sizes_of(pair.arguments)).get(name) for pair in pairs]
        for what, of in _OF_A_SIZE.items():
            if all(
                n and math.isclose(of(n), s, rel_tol=1e-3)
                for n, s in zip(sizes, found, strict=True)
            ):
                return f"Yours is the expected result {what.format(name)}: look at the scale."
    if any(pair.expected.numel() < 2 for pair in pairs):
        return ""  # of single numbers that is true of any two
    some = ", ".join(f"{scale:.4g}" for scale in found[:3])
    return (
        "Yours is the expected result times a number that changes from case to case "
        f"({some}): look at the scale."
    )


def _constant(scale: float) -> str:
    if math.isclose(scale, -1, rel_tol=1e-3):
        return "Yours is the expected result with its sign turned."
    named = next(
        (text for c, text in _CONSTANTS.items() if math.isclose(c, scale, rel_tol=1e-3)), ""
    )
    named = named and f", which is {named}"
    return f"Yours is the expected result times {scale:.4g}{named} everywhere: look at the scale."


def _scale(pair: Pair, tolerance: Tolerance) -> float | None:
    e, g = pair.expected, pair.got
    if e.shape != g.shape or not (e != 0).any() or (e.numel() > 1 and e.std() == 0):
        return None
    scale = (g * e).sum() / (e * e).sum()
    rest, gap = (scale * e - g).norm(), (e - g).norm()
    if scale.abs() < 1e-6 or rest > (1 - SURE) * gap or not close(scale * e, g, tolerance):
        return None
    return float(scale)


def _sizes(arguments: dict[str, Any]) -> Iterator[str]:
    return (name for name, _ in _sizes_of(arguments))


def _sizes_of(arguments: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in arguments.items():
        if type(value) is int and value > 1:
            yield f"`{name}`", value
        elif isinstance(value, Tensor) and value.ndim:
            for axis, length in enumerate(value.shape):
                yield f"the length of axis {axis} of `{name}`", length
        elif isinstance(value, list):
            yield f"the length of `{name}`", len(value)
        elif hasattr(value, "_asdict"):
            yield from _sizes_of({f"{name}.{part}": x for part, x in value._asdict().items()})


# --- an argument in the result ----------------------------------------------------------------

_JOINED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plus": lambda e, a: e + a,
    "minus": lambda e, a: e - a,
    "times": lambda e, a: e * a,
}


def argument_relation(pairs: Sequence[Pair], tolerance: Tolerance) -> str:
    """An argument that was added, taken off or multiplied with, or handed back as it came."""
    if not pairs:
        return ""
    names = [
        name
        for name, value in pairs[0].arguments.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and max(pair.arguments[name].numel() for pair in pairs if name in pair.arguments) > 3
    ]
    for name in names:
        if all(_handed_back(pair, name, tolerance) for pair in pairs):
            return f"Yours is `{name}` as it came."
        for word, join in _JOINED.items():
            if all(_joined(pair, name, join, tolerance) for pair in pairs):
                return f"Yours is the expected result {word} `{name}`."
    return ""


def _handed_back(pair: Pair, name: str, tolerance: Tolerance) -> bool:
    value = pair.arguments.get(name)
    return (
        isinstance(value, Tensor)
        and value.shape == pair.got.shape
        and close(value, pair.got, tolerance)
    )


def _joined(
    pair: Pair, name: str, join: Callable[[Tensor, Tensor], Tensor], tolerance: Tolerance
) -> bool:
    value = pair.arguments.get(name)
    if not isinstance(value, Tensor) or pair.expected.shape != pair.got.shape:
        return False
    return any(
        close(join(pair.expected, fitted), pair.got, tolerance)
        for fitted in _fitted(value.double(), pair.expected)
    )


def _fitted(value: Tensor, to: Tensor) -> Iterator[Tensor]:
    """The tensor with one axis more wherever that makes it fit, or as it is."""
    options = [value]
    if value.ndim == to.ndim - 1:
        options = [value.unsqueeze(axis) for axis in range(to.ndim)]
    for option in options:
        if option.ndim == to.ndim and all(
            a in (1, b) for a, b in zip(option.shape, to.shape, strict=True)
        ):
            yield option.expand_as(to)
