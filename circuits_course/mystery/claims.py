"""What a learner claims about a mystery, checked for form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

from circuits_course.circuits.heads import Head, head_name
from circuits_course.errors import CourseError, UnknownName
from circuits_course.mystery.bench import Receiver
from circuits_course.mystery.menu import ALGORITHMS, ROLES

Edge = tuple[Head, Receiver]
Predictions = Mapping[str, str] | Callable[[list[str]], str]


@dataclass(frozen=True)
class Claim:
    """A circuit, as somebody believes it to be.

    mystery: its name. heads: {role: [(layer, head), ...]}, roles from `ROLES`; no head twice.
    edges: [((layer, head), (layer, head, "q" | "k" | "v")), ...] with "logits" as the last
    receiver, between claimed heads. algorithm: a name from `ALGORITHMS`. predictions: a function
    from the symbols read so far (BOS left out) to the next one, or a mapping {"a b c": "d", ...}.
    Lists will do for pairs and triples. What is left out scores nothing. Raises UnknownName or
    CourseError where the form is wrong.
    """

    mystery: str
    heads: Mapping[str, Sequence[Head]] = field(default_factory=dict)
    edges: Sequence[Edge] = ()
    algorithm: str = ""
    predictions: Predictions = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(
            isinstance(self.mystery, str), "The first argument is the mystery's name", self.mystery
        )
        _require(
            isinstance(self.heads, Mapping),
            "heads is a dictionary {role: [(layer, head), ...]}",
            self.heads,
        )
        plain = {role: _plain_items(heads) for role, heads in self.heads.items()}
        object.__setattr__(self, "heads", plain)
        object.__setattr__(self, "edges", _plain_items(self.edges))
        for role, heads in self.heads.items():
            if role not in ROLES:
                raise UnknownName("role", role, ROLES)
            _require_heads(role, heads)
        self._require_no_head_twice()
        if self.algorithm not in (*ALGORITHMS, ""):
            raise UnknownName("algorithm", self.algorithm, ALGORITHMS)
        for edge in _listed("edges", self.edges):
            self._require_edge(edge)
        _require(
            callable(self.predictions) or isinstance(self.predictions, Mapping),
            "predictions is a function or a dictionary {symbols: symbol}",
            self.predictions,
        )

    @property
    def circuit(self) -> dict[Head, str]:
        """Head -> its role."""
        return {head: role for role, heads in self.heads.items() for head in heads}

    def _require_no_head_twice(self) -> None:
        named = [head for heads in self.heads.values() for head in heads]
        twice = next((head for head in named if named.count(head) > 1), None)
        if twice:
            raise CourseError(f"Head {head_name(twice)} is claimed twice; give it one role.")

    def _require_edge(self, edge: Any) -> None:
        form = 'An edge is ((layer, head), (layer, head, "k")) or ((layer, head), "logits")'
        _require(isinstance(edge, Sequence) and len(edge) == 2 and _is_head(edge[0]), form, edge)
        sender, receiver = edge
        ends = [sender]
        if receiver != "logits":
            right = isinstance(receiver, tuple) and len(receiver) == 3 and _is_head(receiver[:2])
            _require(right and receiver[2] in ("q", "k", "v"), form, edge)
            ends.append(receiver[:2])
        for head in ends:
            if head not in self.circuit:
                raise CourseError(
                    f"The edge {edge!r} ends at head {head_name(head)}, which has no role in your "
                    "claim; name it under heads."
                )
        if len(ends) == 2 and ends[0][0] >= ends[1][0]:
            raise CourseError(
                f"The edge {edge!r} leads to a head that is not in a later layer than its sender."
            )


def _plain_items(listed: Any) -> Any:
    """The items of a list made plain; what is no list stays as it is, to be complained about."""
    is_list = isinstance(listed, Sequence) and not isinstance(listed, str)
    return [_plain(item) for item in listed] if is_list else listed


def _plain(value: Any) -> Any:
    """Lists as tuples, whole numbers of any library as int, at any depth; all else as it is."""
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, str | bool):
        return value
    try:
        return index(value)
    except TypeError:
        return value


def _is_head(value: Any) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and all(type(n) is int and n >= 0 for n in value)


def _require(holds: bool, form: str, got: Any) -> None:
    if not holds:
        text = repr(got)
        raise CourseError(f"{form}; got {text if len(text) <= 60 else text[:57] + '...'}.")


def _listed(name: str, value: Any) -> list[Any]:
    _require(isinstance(value, Sequence) and not isinstance(value, str), f"{name} is a list", value)
    return list(value)


def _require_heads(role: str, heads: Any) -> None:
    for head in _listed(f"What stands under {role!r}", heads):
        _require(_is_head(head), "A head is a pair (layer, head)", head)
