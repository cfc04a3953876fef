"""What turns the expected result into the given one: a sign, a scale, an axis, a softmax more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import torch
from torch import Tensor

from circuits_course.checking.along import along_relation, place_relation
from circuits_course.checking.tolerance import NOTHING, Tolerance, close

EXPLAINED = 0.95  # of the difference, where a wide tolerance would let many a sentence pass


def relation_of(expected: Tensor, got: Tensor, tolerance: Tolerance) -> str:
    """A sentence on how got comes from expected as a whole, "" where nothing simple does it."""
    e, g = expected.detach().double(), got.detach().double()
    if not (e.isfinite().all() and g.isfinite().all()):
        return ""
    if e.numel() > 1 and e.abs().max() > 0 and close(-e, g, tolerance):
        return "Yours is the expected result with its sign turned."
    return (
        _constant_relation(e, g, tolerance)
        or _axis_relation(e, g, tolerance)
        or _shift_relation(e, g, tolerance)
        or _function_relation(e, g, tolerance)
        or along_relation(e, g, tolerance)
        or _part_relation(e, g, tolerance)
        or place_relation(e, g, tolerance)
    )


def relation_in_most(relations: Sequence[str]) -> str:
    """Of what single cases showed, "" for nothing: what at least half of them have in common."""
    kinds = Counter(_kind(relation) for relation in relations if relation)
    if not kinds:
        return ""
    kind, count = kinds.most_common(1)[0]
    if 2 * count < len(relations):
        return ""
    return next(relation for relation in relations if relation and _kind(relation) == kind)


def numbers_relation(expected: Sequence[float], got: Sequence[float], tolerance: Tolerance) -> str:
    """The same for results that are one number each: what the cases have in common."""
    e, g = torch.tensor([expected, got], dtype=torch.float64)
    if len(e) < 3 or not (e.isfinite().all() and g.isfinite().all()):
        return ""
    if close(-e, g, tolerance):
        return "Yours is the expected result with its sign turned."
    return _constant_relation(e, g, tolerance) or _function_relation(e, g, tolerance, along=False)


def _kind(relation: str) -> str:
    return re.sub(r"-?\d[\d.e+-]*", "#", relation)


def _constant_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    if e.numel() < 3 or e.std() == 0:
        return ""
    if g.abs().max() < NOTHING * e.abs().max():
        return "Yours is next to nothing everywhere, which the expected result is not."
    scale = (g * e).sum() / (e * e).sum()
    if scale.abs() > NOTHING and _explains(scale * e, e, g, tolerance):
        return f"Yours is the expected result times {scale:.4g} everywhere: look at the scale."
    offset = (g - e).mean()
    if _explains(e + offset, e, g, tolerance):
        return f"Yours is the expected result plus {offset:.4g} everywhere."
    return ""


def _explains(made: Tensor, e: Tensor, g: Tensor, tolerance: Tolerance) -> bool:
    near = (made - g).norm() <= (1 - EXPLAINED) * (e - g).norm()
    return bool(near) and close(made, g, tolerance, equal_nan=False)


def _axis_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    for a in range(e.ndim):
        for b in range(a + 1, e.ndim):
            if e.shape[a] == e.shape[b] and close(e.transpose(a, b), g, tolerance):
                return f"Yours is the expected result with axes {a} and {b} exchanged."
    return ""


def _shift_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    if len(e.unique()) < 3:  # of yes and no, one place more or less looks like a shift
        return ""
    for axis in range(e.ndim):
        length = e.shape[axis]
        if length < 4:
            continue
        early, late = e.narrow(axis, 0, length - 1), e.narrow(axis, 1, length - 1)
        if close(early, g.narrow(axis, 1, length - 1), tolerance):
            return f"Yours is shifted by one along axis {axis}: your entry i + 1 holds entry i."
        if close(late, g.narrow(axis, 0, length - 1), tolerance):
            return f"Yours is shifted by one along axis {axis}: your entry i holds entry i + 1."
    return ""


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "the absolute value of": torch.abs,
    "the square of": torch.square,
    "the root of": torch.sqrt,
    "the exponential of": torch.exp,
    "the logarithm of": torch.log,
    "1 minus": lambda e: 1 - e,
    "1 divided by": torch.reciprocal,
}
_FUNCTIONS_ALONG: dict[str, Callable[[Tensor], Tensor]] = {
    "the softmax of": lambda e: e.softmax(-1),
    "the log-softmax of": lambda e: e.log_softmax(-1),
    "what is left above 0 of": lambda e: e.clamp(min=0),
    "what lies between 0 and 1 of": lambda e: e.clamp(0, 1),
}


def _function_relation(e: Tensor, g: Tensor, tolerance: Tolerance, along: bool = True) -> str:
    """A function of the whole result; of results that hardly vary, several would do."""
    if e.numel() < 3 or e.ndim == 0 or len(e.unique()) < 3:
        return ""
    for name, function in {**_FUNCTIONS, **(_FUNCTIONS_ALONG if along else {})}.items():
        if _explains(function(e), e, g, tolerance):
            return f"Yours is {name} the expected result."
    for axis in range(e.ndim if along else 0):
        if e.shape[axis] > 2 and close(e.flip(axis), g, tolerance):
            return f"Yours runs backwards along axis {axis}."
    return ""


def _part_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    """Only one slice along an axis is right, or only one is wrong.

    Entry 0 of a later axis is often a position that sees nothing but itself: there, nearly every
    mistake is right.
    """
    for axis in range(e.ndim):
        if e.shape[axis] < 3:
            continue
        es, gs = e.unbind(axis), g.unbind(axis)
        right = [close(a, b, tolerance) for a, b in zip(es, gs, strict=True)]
        if axis == 0 and right.count(True) == 1 and right[0] and _varies(gs[0]):
            return "Only entry 0 of axis 0 is right."
        if right.count(False) == 1:
            return f"Only entry {right.index(False)} of axis {axis} is wrong."
    return ""


def _varies(part: Tensor) -> bool:
    return part.numel() > 1 and bool(part.std() > 0)


# --- shapes -----------------------------------------------------------------------------------


def shape_relation(expected: Tensor, got: Tensor, tolerance: Tolerance) -> str:
    """A sentence on how a result of another shape comes from the expected one."""
    if not got.is_sparse and got.dtype != torch.bool and expected.dtype != torch.bool:
        e, g = expected.detach().double(), got.detach().double()
        exact = next(_shape_relations(e, g, tolerance), "") if e.numel() > 1 else ""
        if exact:
            return exact
    if got.ndim == expected.ndim and sorted(got.shape) == sorted(expected.shape):
        return "The sizes are right but the axes stand in another order."
    if got.ndim < expected.ndim:
        return "An axis is missing: reduce over fewer axes, or keep the leading ones."
    if got.ndim > expected.ndim:
        return "There is an axis too many."
    off = [i for i, (a, b) in enumerate(zip(expected.shape, got.shape, strict=True)) if a != b]
    return f"Axis {off[0]} should have length {expected.shape[off[0]]}."


_REDUCED: dict[str, Callable[[Tensor, int], Tensor]] = {
    "the mean over": lambda x, axis: x.mean(axis),
    "the sum over": lambda x, axis: x.sum(axis),
    "the largest along": lambda x, axis: x.amax(axis),
    "only entry 0 of": lambda x, axis: x.select(axis, 0),
    "only the last entry of": lambda x, axis: x.select(axis, -1),
}


def _shape_relations(e: Tensor, g: Tensor, tolerance: Tolerance) -> Iterator[str]:
    def equal(a: Tensor, b: Tensor) -> bool:
        return a.shape == b.shape and close(a, b, tolerance)

    if g.ndim == e.ndim:
        for order in permutations(range(e.ndim)):
            if equal(e.permute(order), g):
                yield (
                    "The numbers are right, the axes stand in another order: yours are axes "
                    f"{', '.join(map(str, order))} of the expected result."
                )
    if g.ndim == e.ndim - 1 and e.ndim > 1 and 0 not in e.shape:
        for axis in (axis for axis in range(e.ndim) if e.shape[axis] > 1):
            for what, reduce in _REDUCED.items():
                if equal(reduce(e, axis), g):
                    yield f"Yours is {what} axis {axis} of the expected result: keep that axis."
    if g.ndim == 0 and e.numel():
        for what, value in {"mean": e.mean(), "sum": e.sum()}.items():
            if equal(value, g):
                yield f"Yours is the {what} of all that is expected: keep the axes."
    if g.ndim == e.ndim + 1:
        yield from _one_axis_more(e, g, equal)


def _one_axis_more(e: Tensor, g: Tensor, equal: Callable[[Tensor, Tensor], bool]) -> Iterator[str]:
    for axis in range(g.ndim):
        if g.shape[axis] == 1 and equal(g.squeeze(axis), e):
            yield (
                f"The numbers are right; axis {axis}, of length 1, is too many: index it (x[:, i], "
                "not x[:, i : i + 1]) or squeeze it."
            )
        elif 0 not in g.shape:
            for what, reduce in _REDUCED.items():
                if equal(reduce(g, axis), e):
                    yield f"There is an axis too many: the result is {what} your axis {axis}."
