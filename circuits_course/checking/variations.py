"""Whether an answer does what the right one does with other arguments: one that is not heeded, two
that are exchanged, an index off by one, a matrix turned round.

The oracle is asked what it makes of the changed arguments. So these mistakes need not be written
down for every exercise, and what is said is true wherever outputs agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from circuits_course.checking.changes import CHANGES, CHANGES_OF_LISTS, OF_PLACES, unit
from circuits_course.checking.compare import same
from circuits_course.checking.declaring import Case, Declaration
from circuits_course.checking.running import Finding

_NOTHING = object()  # neither an argument nor an output
ENOUGH = 0.75  # of the cases that the attempt fails, or that the changed arguments would change

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Variation:
    """A change of the arguments. name: for progress and reports; because: what the learner did.

    change: from the arguments to those changed, or None where it does not apply. of_numbers: of
    the numbers in a tensor, which shows only in results that hold more than yes and no.
    """

    name: str
    because: str
    change: Callable[[Arguments], Arguments | None]
    of_numbers: bool = False


def explain(exercise: Declaration, findings: list[Finding]) -> Variation | None:
    """The change of arguments with which the oracle gives what the attempt gave, if any does."""
    failed = [f for f in findings if not f.ok and not f.raised and f.broken is None]
    if exercise.oracle_function is None or not failed or not _comparable(failed[0]):
        return None
    tried = [_arguments(exercise, case) for case in exercise.built_cases()]
    fits = (v for v in variations(tried) if _gives(exercise, v, failed[0]))
    explaining = [v for v in fits if _explains(exercise, v, findings)]
    plain = [v for v in explaining if not v.of_numbers]
    if plain or len(explaining) == 1:
        return (plain or explaining)[0]
    return None  # nothing, or several changes of numbers: which of them it was cannot be said


def gives_all(exercise: Declaration, variation: Variation, findings: list[Finding]) -> bool:
    """Whether it gives what the attempt gave on every case that the attempt fails."""
    return all(_gives(exercise, variation, finding) for finding in findings if not finding.ok)


def variations(tried: list[Arguments]) -> Iterator[Variation]:
    """Every change that makes sense for these arguments, given as {name: value} of each case."""
    names = [name for name in tried[0] if not isinstance(tried[0][name], nn.Module)]
    for one, other in combinations(names, 2):
        if type(tried[0][one]) is type(tried[0][other]):
            yield _exchanged(one, other)
        if isinstance(tried[0][one], Tensor) and isinstance(tried[0][other], Tensor):
            yield from (_in_place_of(one, other), _in_place_of(other, one))
    yield _unit_vectors(names)
    for name in names:
        values = [arguments[name] for arguments in tried if name in arguments]
        yield from _of_one(name, values)


def _exchanged(one: str, other: str) -> Variation:
    def change(arguments: Arguments) -> Arguments | None:
        if one not in arguments or other not in arguments:
            return None
        return {**arguments, one: arguments[other], other: arguments[one]}

    because = f"`{one}` and `{other}` are exchanged."
    return Variation(f"{one} and {other} exchanged", because, change)


def _in_place_of(one: str, other: str) -> Variation:
    because = f"`{other}` has not been used: `{one}` stands in its place."

    def change(arguments: Arguments) -> Arguments | None:
        if one not in arguments or other not in arguments:
            return None
        return {**arguments, other: arguments[one]}

    return Variation(f"{one} for {other}", because, change)


def _unit_vectors(names: list[str]) -> Variation:
    def change(arguments: Arguments) -> Arguments | None:
        shorter = {
            name: unit(arguments[name])
            for name in names
            if isinstance(arguments.get(name), Tensor) and arguments[name].is_floating_point()
        }
        return {**arguments, **shorter} if len(shorter) > 1 else None

    because = "each vector was divided by its length first, so that only directions count."
    return Variation("unit vectors", because, change)


def _of_one(name: str, values: list[Any]) -> Iterator[Variation]:
    plain = [v for v in values if isinstance(v, int | float | str) or v is None]
    yield from (_always(name, value) for value in dict.fromkeys(plain))
    if all(isinstance(value, bool) for value in values):
        yield _with(
            name, "turned round", f"`{name}` is taken the other way round.", lambda v: not v
        )
    elif all(isinstance(value, int) for value in values):
        yield _always(name, 0)
        off = f"off by one in `{name}`: yours is the result for the one"
        yield _with(name, "-1", f"{off} before it.", lambda v: v - 1)
        yield _with(name, "+1", f"{off} after it.", lambda v: v + 1)
    if all(isinstance(value, Tensor) for value in values):
        yield from _of_a_tensor(name)
    if all(isinstance(value, list) for value in values):
        yield from _of_a_list(name)


def _of_a_tensor(name: str) -> Iterator[Variation]:
    for what, (because, change) in CHANGES.items():
        made = _with(name, what, because.format(name), partial(_or_nothing, change))
        yield replace(made, of_numbers=what not in OF_PLACES)


def _or_nothing(change: Callable[[Any], Any], value: Any) -> Any:
    changed = change(value)
    return _NOTHING if changed is None else changed


def _of_a_list(name: str) -> Iterator[Variation]:
    for what, (because, change) in CHANGES_OF_LISTS.items():
        yield _with(name, what, because.format(name), partial(_or_nothing, change))
    yield _in_every_layer(name)


def _in_every_layer(name: str) -> Variation:
    """Pairs (layer, head) of which the layer is not looked at."""

    def change(arguments: Arguments) -> Arguments | None:
        pairs, model = arguments.get(name), arguments.get("model")
        if model is None or not pairs or not all(_is_pair(pair) for pair in pairs):
            return None
        heads = dict.fromkeys(head for _, head in pairs)
        every = [(layer, head) for layer in range(model.cfg.n_layers) for head in heads]
        return {**arguments, name: every}

    because = (
        f"the layers in `{name}` are not heeded: heads of these numbers are taken in every layer."
    )
    return Variation(f"{name} in every layer", because, change)


def _always(name: str, value: Any) -> Variation:
    because = f"`{name}` is not heeded: yours is the result for {name} = {value!r}."
    return _with(name, f"always {value!r}", because, lambda _: value)


def _with(name: str, what: str, because: str, change: Callable[[Any], Any]) -> Variation:
    def changed(arguments: Arguments) -> Arguments | None:
        value = change(arguments[name]) if name in arguments else _NOTHING
        return None if value is _NOTHING else {**arguments, name: value}

    return Variation(f"{name} {what}", because, changed)


# --- does it explain what was seen ------------------------------------------------------------


def _arguments(exercise: Declaration, case: Case) -> Arguments:
    return dict(zip(exercise.parameters(), case.args, strict=False)) | case.kwargs


def _explains(exercise: Declaration, variation: Variation, findings: list[Finding]) -> bool:
    """Whether the two agree on most of the cases that the attempt fails or the change would fail;
    on two at least, where an output is a number or so, which chance may hit once."""
    concerned = [
        finding
        for finding, expected in zip(findings, exercise.expectations(), strict=False)
        if not finding.ok or _differs(exercise, variation, finding.case, expected)
    ]
    alike = [finding for finding in concerned if _gives(exercise, variation, finding)]
    if variation.of_numbers and not any(_is_telling(finding.output) for finding in alike):
        return False
    if len(alike) < ENOUGH * len(concerned):
        return False
    return len(alike) > 1 or any(_holds_much(finding.output) for finding in alike)


def _holds_much(output: Any) -> bool:
    return isinstance(output, Tensor) and output.numel() > 3


def _is_telling(output: Any) -> bool:
    """Whether it holds numbers that hardly agree by chance."""
    if isinstance(output, Tensor) and output.is_floating_point():
        return len(output.unique()) > 2
    return isinstance(output, float) and output * 12 % 1 != 0


def _gives(exercise: Declaration, variation: Variation, finding: Finding) -> bool:
    if not _comparable(finding):
        return False
    theirs = _expected(exercise, variation, finding.case)
    seen = finding.output if finding.seen is None else finding.seen
    return theirs is not _NOTHING and same(theirs, seen, exercise.tolerance)


def _differs(exercise: Declaration, variation: Variation, case: Case, expected: Any) -> bool:
    theirs = _expected(exercise, variation, case)
    return theirs is not _NOTHING and not same(expected, theirs, exercise.tolerance)


def _comparable(finding: Finding) -> bool:
    kind = finding.difference.kind if finding.difference else "value"
    return not finding.raised and kind in ("value", "shape", "length", "keys")


def _expected(exercise: Declaration, variation: Variation, case: Case) -> Any:
    """What the oracle makes of a case's arguments after the change."""
    args, kwargs = case.inputs()
    names = exercise.parameters()[: len(args)]
    changed = variation.change(dict(zip(names, args, strict=True)) | kwargs)
    if changed is None:
        return _NOTHING
    assert exercise.oracle_function is not None
    try:
        rest = {name: value for name, value in changed.items() if name not in names}
        return exercise.oracle_function(*(changed[name] for name in names), **rest)
    except Exception:  # no such head, sizes that do not fit
        return _NOTHING


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2
