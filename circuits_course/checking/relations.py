"""What turns the expected numbers into those given: a sign, a scale, an axis, a shift."""

from __future__ import annotations

from torch import Tensor

from circuits_course.checking.tolerance import Tolerance, close


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
    )


def _constant_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    if e.numel() < 3 or e.std() == 0:
        return ""
    scale = (g * e).sum() / (e * e).sum()
    if scale.abs() > 1e-6 and close(scale * e, g, tolerance):
        return f"Yours is the expected result times {scale:.4g} everywhere: look at the scale."
    offset = (g - e).mean()
    if close(e + offset, g, tolerance):
        return f"Yours is the expected result plus {offset:.4g} everywhere."
    return ""


def _axis_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
    for a in range(e.ndim):
        for b in range(a + 1, e.ndim):
            if e.shape[a] == e.shape[b] and close(e.transpose(a, b), g, tolerance):
                return f"Yours is the expected result with axes {a} and {b} exchanged."
    return ""


def _shift_relation(e: Tensor, g: Tensor, tolerance: Tolerance) -> str:
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


def shape_relation(expected: Tensor, got: Tensor) -> str:
    if got.ndim == expected.ndim and sorted(got.shape) == sorted(expected.shape):
        return "The sizes are right but the axes stand in another order."
    if got.ndim < expected.ndim:
        return "An axis is missing: reduce over fewer axes, or keep the leading ones."
    if got.ndim > expected.ndim:
        return "There is an axis too many."
    off = [i for i, (a, b) in enumerate(zip(expected.shape, got.shape, strict=True)) if a != b]
    return f"Axis {off[0]} should have length {expected.shape[off[0]]}."
