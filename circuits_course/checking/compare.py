"""Comparing an answer with what was expected, and saying in words how they differ.

A `Difference` is one complaint: what kind it is, and a sentence with expected, got and the
first index that differs. `find_difference` looks for the first one, structure before values:
None, type, shape, dtype, device, NaN, numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from circuits_course.checking.relations import relation_of, shape_relation
from circuits_course.checking.tolerance import TOLERANCE, Tolerance, close, isclose

Kind = Literal[
    "none", "type", "shape", "dtype", "device", "nan", "length", "keys", "value",
    "property", "mutation", "harm",
]  # fmt: skip
LONG = 20  # entries of a list: from here on what is missing is looked for exactly, which is fast


@dataclasses.dataclass(frozen=True)
class Difference:
    """The first way in which an answer differs from what was expected.

    kind: what differs. text: the sentence for the learner, without a final stop. relation: what
    turns expected into got (a sign, a scale, ...), as a sentence, or "".
    """

    kind: Kind
    text: str
    relation: str = ""

    @classmethod
    def none(cls, where: str = "") -> Difference:
        """The function gave nothing back."""
        return cls("none", f"Your function returned None{where}. Did you forget return?")


def find_difference(
    expected: Any, got: Any, tolerance: Tolerance = TOLERANCE, where: str = ""
) -> Difference | None:
    """The first difference between an expected value and an answer, None where there is none.

    Tensors of any floating dtype are equal when their numbers are; integers and booleans must
    stay what they are. A 0-d tensor equals the number in it. Lists equal tuples. Named tuples and
    dataclasses compare by field.
    """
    if got is None and expected is not None:
        return Difference.none(where)
    if isinstance(expected, Tensor):
        return _tensor_difference(expected, got, tolerance, where)
    if isinstance(expected, bool | str) or expected is None:
        return _exact_difference(expected, got, where)
    if isinstance(expected, int | float):
        return _number_difference(expected, got, tolerance, where)
    fields = _fields(expected)
    if fields is not None:
        return _mapping_difference(fields, got, tolerance, where)
    if isinstance(expected, Sequence | set | frozenset):
        return _sequence_difference(expected, got, tolerance, where)
    raise TypeError(f"No comparison is defined for {type(expected).__name__}.")


def same(a: Any, b: Any, tolerance: Tolerance = TOLERANCE) -> bool:
    """Whether two values are equal within the tolerance, NaN equal to NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and close(a, b, tolerance, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float) and a != a:
        return b != b
    if type(a) is type(b) and isinstance(a, int | str):
        return a == b
    if type(a) in (list, tuple) and type(b) in (list, tuple):  # no text has to be made for these
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    try:
        return find_difference(a, b, tolerance) is None
    except TypeError:
        return a is b


def shape_text(value: Tensor) -> str:
    """A shape as it stands in messages: [3, 4, 21, 21]."""
    return str(list(value.shape))


# --- one kind of value each -------------------------------------------------------------------


def _tensor_difference(
    expected: Tensor, got: Any, tolerance: Tolerance, where: str
) -> Difference | None:
    if isinstance(got, int | float) and expected.ndim == 0:
        got = torch.tensor(got)
    if not isinstance(got, Tensor):
        return _type_difference("a torch tensor", got, where, _as_tensor(expected, got))
    if got.shape != expected.shape:
        text = f"expected {shape_text(expected)}, got {shape_text(got)}{where}"
        return Difference("shape", text, shape_relation(expected, got, tolerance))
    return (
        _dtype_difference(expected, got, where)
        or _device_difference(expected, got, where)
        or _nan_difference(expected, got, where)
        or _value_difference(expected, got, tolerance, where)
    )


def _as_tensor(expected: Tensor, got: Any) -> str:
    """How to make a tensor of a list: of tensors, by stacking them."""
    if not hasattr(got, "__len__"):
        return ""
    if isinstance(got, list | tuple) and got and all(isinstance(part, Tensor) for part in got):
        for axis in range(expected.ndim):
            if len(got) == expected.shape[axis]:
                return f"Put its tensors together: torch.stack(..., dim={axis})."
        return "Put its tensors together: torch.stack or torch.cat."
    return "Wrap it in torch.as_tensor(...)."


def _dtype_difference(expected: Tensor, got: Tensor, where: str) -> Difference | None:
    alike = got.is_floating_point() if expected.is_floating_point() else got.dtype == expected.dtype
    if alike:
        return None
    want = "a floating-point dtype" if expected.is_floating_point() else _dtype(expected)
    return Difference("dtype", f"expected {want}, got {_dtype(got)}{where}")


def _device_difference(expected: Tensor, got: Tensor, where: str) -> Difference | None:
    if got.device.type == expected.device.type:
        return None
    return Difference(
        "device", f"expected a tensor on {expected.device}, got one on {got.device}{where}"
    )


def _nan_difference(expected: Tensor, got: Tensor, where: str) -> Difference | None:
    if not got.is_floating_point():
        return None
    unexpected = got.isnan() & ~expected.isnan()
    if not unexpected.any():
        return None
    return Difference("nan", f"your result is NaN at index {_first(unexpected)}{where}")


def _value_difference(
    expected: Tensor, got: Tensor, tolerance: Tolerance, where: str
) -> Difference | None:
    if close(expected, got, tolerance):
        return None
    differs = ~isclose(expected, got, tolerance)
    index = _first(differs)
    want, have = _two_numbers(expected[tuple(index)].item(), got[tuple(index)].item())
    place = f" at index {index}" if index else ""
    count = f" ({int(differs.sum())} of {differs.numel()} entries differ)" if index else ""
    text = f"expected {want}, got {have}{place}{where}{count}"
    return Difference("value", text, relation_of(expected, got, tolerance))


def _number_difference(
    expected: float, got: Any, tolerance: Tolerance, where: str
) -> Difference | None:
    number = _as_number(got)
    if number is None:
        return _type_difference("one number", got, where)
    if math.isnan(number) and not math.isnan(expected):
        return Difference("nan", f"your result is NaN{where}")
    if math.isclose(expected, number, rel_tol=tolerance.rtol, abs_tol=tolerance.atol):
        return None
    want, have = _two_numbers(expected, number)
    relation = relation_of(torch.tensor(float(expected)), torch.tensor(number), tolerance)
    return Difference("value", f"expected {want}, got {have}{where}", relation)


def _exact_difference(expected: Any, got: Any, where: str) -> Difference | None:
    if isinstance(got, Tensor) and got.ndim == 0:
        got = got.item()
    if type(expected) is type(got) and expected == got:
        return None
    if isinstance(expected, bool) and isinstance(got, int) and bool(got) is expected:
        return None
    return Difference("value", f"expected {expected!r}, got {_short(got)}{where}")


def _mapping_difference(
    expected: Mapping[str, Any], got: Any, tolerance: Tolerance, where: str
) -> Difference | None:
    fields = _fields(got)
    if fields is None and isinstance(got, Sequence) and len(got) == len(expected):
        fields = dict(zip(expected, got, strict=True))
    if fields is None:
        return _type_difference(f"something with {_names(expected)}", got, where)
    if set(fields) != set(expected):
        text = f"expected {_names(expected)}, got {_names(fields)}{where}"
        return Difference("keys", text, _keys_relation(expected, fields))
    for key, value in expected.items():
        found = find_difference(value, fields[key], tolerance, f"{where} in {key!r}")
        if found:
            relation = found.relation or _fields_relation(expected, fields, tolerance)
            return dataclasses.replace(found, relation=relation)
    return None


def _fields_relation(
    expected: Mapping[str, Any], got: Mapping[str, Any], tolerance: Tolerance
) -> str:
    """Which of two entries are exchanged, or which one alone is wrong."""
    wrong = [key for key, value in expected.items() if not same(value, got[key], tolerance)]
    if len(wrong) == 2:
        one, other = wrong
        if same(expected[one], got[other], tolerance) and same(
            expected[other], got[one], tolerance
        ):
            return f"{one!r} and {other!r} are exchanged."
    if len(wrong) == 1 and len(expected) > 1:
        return f"Only {wrong[0]!r} is wrong."
    return ""


def _keys_relation(expected: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    """Which keys are missing and which are too many, where both share some."""
    missing = [key for key in expected if key not in got]
    more = [key for key in got if key not in expected]
    if len(missing) == len(expected):
        return ""
    texts = {"Missing": missing, "Too many": more}
    return " ".join(
        f"{what}: {', '.join(map(repr, keys[:6]))}." for what, keys in texts.items() if keys
    )


def _sequence_difference(
    expected: Any, got: Any, tolerance: Tolerance, where: str
) -> Difference | None:
    unordered = isinstance(expected, set | frozenset)
    items = list(_items(got, unordered))
    if not isinstance(got, Sequence | set | frozenset | Tensor) or isinstance(got, str):
        return _type_difference("a set" if unordered else "a list", got, where)
    wanted = list(_items(expected, unordered))
    for index, (want, have) in enumerate(zip(wanted, items, strict=False)):
        found = find_difference(want, have, tolerance, f" at index {index}{where}")
        if found:
            return _item_difference(found, index, wanted, items, where)
    if len(wanted) != len(items):
        text = (
            f"expected {len(wanted)} entries, got {len(items)}{where}: "
            f"expected {_short(wanted)}, got {_short(items)}"
        )
        return Difference("length", text, _list_relation(wanted, items))
    return None


def _item_difference(
    found: Difference, index: int, wanted: list[Any], items: list[Any], where: str
) -> Difference:
    """The difference in one entry of a list, with both lists to look at."""
    text = found.text
    if isinstance(wanted[index], Sequence) and not isinstance(wanted[index], str):
        want, have = _short(wanted[index]), _short(items[index])
        text = f"expected {want}, got {have} at index {index}{where}"
    whole = f"{text}; the whole: expected {_short(wanted)}, got {_short(items)}"
    relation = _order_relation(wanted, items) or _list_relation(wanted, items)
    return Difference(found.kind, whole, relation)


def _type_difference(wanted: str, got: Any, where: str, relation: str = "") -> Difference:
    return Difference("type", f"expected {wanted}, got {_kind(got)}{where}", relation)


def _first(mask: Tensor) -> list[int]:
    return mask.nonzero()[0].tolist() if mask.ndim else []


def _two_numbers(want: Any, have: Any) -> tuple[str, str]:
    """Both numbers with as few digits as still tell them apart."""
    if isinstance(want, bool):
        return str(want), str(bool(have))
    if isinstance(want, int) and have == int(have):
        return str(want), str(int(have))
    for digits in range(2, 9):
        texts = f"{want:.{digits}f}", f"{have:.{digits}f}"
        if texts[0] != texts[1]:
            return texts
    return f"{want:.8g}", f"{have:.8g}"


def _as_number(value: Any) -> float | None:
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex():
        return float(value)
    if isinstance(value, str | bytes | Sequence | Mapping | Tensor):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _fields(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return value
    if hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return None


def _items(value: Any, unordered: bool) -> Iterator[Any]:
    if isinstance(value, Tensor):
        value = value.tolist() if value.ndim else []
    if not isinstance(value, Sequence | set | frozenset):
        return iter(())
    return iter(sorted(value, key=repr)) if unordered else iter(value)


def _names(value: Mapping[str, Any]) -> str:
    return ", ".join(repr(key) for key in value) or "nothing"


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    name = type(value).__name__
    if value is None:
        return "None"
    article = "an" if name[0].lower() in "aeiou" else "a"
    return (
        f"{article} {name} ({_short(value)})"
        if isinstance(value, int | float)
        else f"{article} {name}"
    )


def _short(value: Any, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _list_relation(wanted: list[Any], items: list[Any]) -> str:
    """What of two lists is missing and what is too many, where they share some entries."""
    missing, more, equal = list(wanted), [], _equality(wanted)
    for have in items:
        match = next((i for i, want in enumerate(missing) if equal(want, have)), None)
        more.append(have) if match is None else missing.pop(match)
    if not items or len(more) == len(items):
        return ""
    texts = {"Missing in yours": missing, "Too many in yours": more}
    return " ".join(f"{what}: {_short(some)}." for what, some in texts.items() if some)


def _order_relation(wanted: list[Any], items: list[Any]) -> str:
    rest, equal = list(items), _equality(wanted)
    for want in wanted:
        match = next((i for i, have in enumerate(rest) if equal(want, have)), None)
        if match is None:
            return ""
        rest.pop(match)
    return "" if rest else "The entries are right, their order is not."


def _equality(wanted: list[Any]) -> Callable[[Any, Any], bool]:
    """Within the tolerance; in long lists, whose entries are held against all others, exact."""
    return same if len(wanted) <= LONG else _exactly


def _exactly(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (RuntimeError, TypeError, ValueError):  # tensors of several numbers
        return False
