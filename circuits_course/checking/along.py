"""What was done along one axis of the expected result: a softmax, a mean taken off, a shift.

Also where the entries that differ lie: on the diagonal, above it, or wherever yours is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from circuits_course.checking.tolerance import Tolerance, close, isclose

_DONE: dict[str, Callable[[Tensor, int], Tensor]] = {
    "the softmax along axis {} of": lambda e, a: e.softmax(a),
    "less its mean along axis {}": lambda e, a: e - e.mean(a, keepdim=True),
    "less its largest along axis {}": lambda e, a: e - e.amax(a, keepdim=True),
    "divided by its sum along axis {}": lambda e, a: e / e.sum(a, keepdim=True),
    "divided by its largest along axis {}": lambda e, a: e / e.amax(a, keepdim=True),
    "divided by its length along axis {}": lambda e, a: e / e.norm(dim=a, keepdim=True),
    "the running sum along axis {} of": lambda e, a: e.cumsum(a),
    "sorted along axis {}": lambda e, a: e.sort(a).values,
    "sorted along axis {}, largest first": lambda e, a: e.sort(a, descending=True).values,
}
_SAME: dict[str, Callable[[Tensor, int], Tensor]] = {
    "its mean along axis {}": lambda e, a: e.mean(a, keepdim=True).expand_as(e),
    "its sum along axis {}": lambda e, a: e.sum(a, keepdim=True).expand_as(e),
    "its largest along axis {}": lambda e, a: e.amax(a, keepdim=True).expand_as(e),
    "its entry 0 of axis {}": lambda e, a: e.narrow(a, 0, 1).expand_as(e),
    "its last entry of axis {}": lambda e, a: e.narrow(a, -1, 1).expand_as(e),
}


def along_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    """A sentence on what one axis has seen, "" where nothing simple explains g by e."""
    if e.numel() < 4 or len(e.unique()) < 3:
        return ""
    axes = [axis for axis in range(e.ndim) if e.shape[axis] > 2]
    for axis in axes:
        for what, done in _DONE.items():
            if _makes(done(e, axis), g, tolerance):
                what = what.format(axis)
                whole = (
                    f"{what} the expected result"
                    if what.endswith(" of")
                    else f"the expected result {what}"
                )
                return f"Yours is {whole}."
        for what, done in _SAME.items():
            if _makes(done(e, axis), g, tolerance):
                return f"Yours holds {what.format(axis)} of the expected result everywhere."
    return next((text for axis in axes if (text := _of_rows(e, g, axis, tolerance))), "")


def _makes(made: Tensor, g: Tensor, tolerance: Tolerance) -> bool:
    return close(made, g, tolerance, equal_nan=False)


def _of_rows(e: Tensor, g: Tensor, axis: int, tolerance: Tolerance) -> str:
    """One number for each row is added, or multiplied with; rows that do not vary say nothing."""
    if e.numel() == e.shape[axis] or bool((e.std(axis) == 0).any()):
        return ""
    added = (g - e).mean(axis, keepdim=True)
    if _makes(e + added, g, tolerance):
        return (
            f"Along axis {axis} yours is off by one number, another one in each line along it: "
            "something is added or taken off there that should not be, or is missing."
        )
    times = (g * e).sum(axis, keepdim=True) / e.square().sum(axis, keepdim=True)
    if bool((times.abs() > 1e-6).all()) and _makes(e * times, g, tolerance):
        return (
            f"Along axis {axis} yours is the expected result times one number, "
            "another one in each line along it: look at what you multiply or divide by there."
        )
    return ""


def place_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    """Where the entries that differ lie, if that is a place one can name."""
    wrong = ~isclose(e, g, tolerance)
    if e.ndim < 2 or e.shape[-1] != e.shape[-2] or e.shape[-1] < 3 or wrong.sum() < 2:
        return _zeros(e, g, wrong)
    square = torch.ones(e.shape[-2:], dtype=torch.bool)
    places = {
        "on the diagonal of the last two axes": square.tril() & square.triu(),
        "above the diagonal of the last two axes": square.triu(1),
        "below the diagonal of the last two axes": square.tril(-1),
    }
    for name, place in places.items():
        if not (wrong & ~place).any():
            return f"Only entries {name} are wrong."
    return _zeros(e, g, wrong)


def _zeros(e: Tensor, g: Tensor, wrong: Tensor) -> str:
    left = (~wrong) & (e != 0)
    if wrong.sum() < 2 or not left.any() or bool((g[wrong] != 0).any()):
        return ""
    return "Where yours differs it is 0, and right elsewhere: something is left out there."
