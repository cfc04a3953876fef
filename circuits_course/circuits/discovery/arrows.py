"""Edges as a picture takes them: `plots.plot_circuit(heads, arrows, ...)`."""

from __future__ import annotations

from collections.abc import Mapping

from circuits_course.circuits.discovery.graph import Edge, Receiver, Sender

Arrow = tuple[str, str, float, str]
ENDS = {"embed": "tokens", "logits": "logits"}


def arrows(effects: Mapping[Edge, float], least: float) -> list[Arrow]:
    """Edges as (from, to, effect, what is read), the strongest first.

    effects: {edge: how its cut changes a metric}, as `edge_effects` returns them; an arrow carries
    what is lost, the negative of it. least: smaller effects, of either sign, are left out. Key and
    value heads that serve several query heads keep their own number.
    """
    kept = [(edge, -effect) for edge, effect in effects.items() if abs(effect) >= least]
    kept.sort(key=lambda pair: -abs(pair[1]))
    return [(_name(edge.sender), _name(edge.receiver), lost, _read(edge.receiver))
            for edge, lost in kept]  # fmt: skip


def _name(node: Sender | Receiver) -> str:
    return ENDS[node] if isinstance(node, str) else f"{node[0]}.{node[1]}"


def _read(receiver: Receiver) -> str:
    return str(receiver[2]).upper() if len(receiver) == 3 else ""
