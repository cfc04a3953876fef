"""A measured circuit: layers upwards, classes or positions across, heads as circles, arrows.

The signs are those of the course's drawings: pale lanes are residual streams, circles are heads
that write there, an arrow's thickness is the effect that was measured on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from circuits_course.page.numbers import signed
from circuits_course.plots.arrays import as_array, table
from circuits_course.plots.circuit_drawing import interactive, paint
from circuits_course.plots.circuit_layout import ENDS, Circuit, lay_out
from circuits_course.plots.figure import Figure


def plot_circuit(
    heads: Mapping[str, str],
    edges: Iterable[Sequence[Any]],
    title: str,
    *,
    unit: str,
    effects: Mapping[str, float] | None = None,
    lanes: Mapping[str, str] | None = None,
    others: Sequence[str] = (),
    numbers: bool = True,
) -> Figure:
    """A circuit as it was measured: who passes what to whom, and how much depends on it.

    heads: {"layer.head": role}, where "4.3 +2" is a head with two more, and "4.mlp" an MLP. edges:
    (from, to, effect) or (from, to, effect, label), where a label such as "K" says what is read,
    and "tokens" and "logits" are ends as well. unit: what an effect is. effects: {head: effect of
    its own}; lanes: {head: class or position} for the places across, in the order of first
    mention. others: heads drawn pale where no path meets them. numbers: whether an effect stands
    beside its arrow, or the label alone.

    Blue and solid is positive, orange and dashed negative. Raises CourseError for a path between
    heads that are not there, or one that does not go up.
    """
    circuit = lay_out(heads, edges, unit, effects or {}, lanes or {}, others, numbers)
    return described_circuit(circuit, title)


def described_circuit(circuit: Circuit, title: str) -> Figure:
    """A circuit, laid out, as a figure with its words and numbers."""
    measured = [arrow.effect for arrow in circuit.arrows] or [0.0]
    return Figure(
        title=title,
        alt=_describe(circuit),
        table=_table(circuit),
        numbers={circuit.unit: as_array(measured, "effects", ndim=1)},
        paint=lambda canvas: paint(canvas, circuit),
        size=circuit.size,
        plotly=interactive(circuit, title),
    )


def _describe(circuit: Circuit) -> str:
    heads = [n for n in circuit.nodes.values() if n.name not in ENDS and not n.faded]
    pale = sum(node.faded for node in circuit.nodes.values())
    parts = [f"{len(heads)} heads", f"{len(circuit.arrows)} paths"]
    said = f"A circuit of {' and '.join(parts)}, layers upwards, arrows with {circuit.unit}."
    if circuit.arrows and circuit.numbers:
        top = circuit.arrows[-1]
        said += f" The strongest path goes from {top.source} to {top.target}: {top.says}."
    return said + (f" {pale} other heads are drawn pale." if pale else "")


def _table(circuit: Circuit) -> str:
    paths = [
        [f"{arrow.source} > {arrow.target}", arrow.label, signed(arrow.effect)]
        for arrow in reversed(circuit.arrows)
    ]
    shown = [n for n in circuit.nodes.values() if n.name not in ENDS and not n.faded]
    known = any(np.isfinite(node.effect) for node in shown)
    own = [signed(n.effect) if np.isfinite(n.effect) else "" for n in shown]
    heads = [[n.name, n.role, *([e] if known else [])] for n, e in zip(shown, own, strict=True)]
    head = ["head", "role", *(["effect"] if known else [])]
    return f"{table(['path', 'reads', circuit.unit], paths)}\n\n{table(head, heads)}"
