"""A circuit that answers: choose a head, see what it does, and take it away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

from circuits_course.errors import CourseError
from circuits_course.plots.circuit import described_circuit
from circuits_course.plots.circuit_layout import lay_out
from circuits_course.plots.circuit_svg import CircuitSheet
from circuits_course.plots.figure import Figure, bundle_with_widget, display_described

DATA = "application/vnd.circuits-course.circuit"  # JSON in one line: notebooks indent "+json"
UNIT = "share that goes without the sender"


class AtWork(Protocol):
    """A circuit on one prompt, as `circuits.CircuitAtWork` measures it."""

    words: list[str]

    @property
    def roles(self) -> Mapping[str, str]:
        """{"layer.head": role}."""

    @property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        """What does not change as heads are silenced."""

    @property
    def asked(self) -> list[str | None]:
        """The right answer and the wrong one, if there is one."""

    def arrows(self, least: float) -> list[tuple[str, str, float, str]]:
        """Edges within the circuit."""

    def state(self, silenced: Iterable[str]) -> dict[str, Any]:
        """The model without some of the heads."""

    def states(self) -> list[dict[str, Any]]:
        """The whole model, and without each head by itself."""


class CircuitExplorer:
    """A measured circuit to touch.

    work: `circuits.CircuitAtWork(model, prompt, heads, ...)`. lanes: {"layer.head": class or
    position} for the places across. least: the smallest share that gets an arrow. start: the head
    chosen first, by default the one that costs most.

    Live, choose a head by mouse or arrow keys: where it looks, whom its queries, keys and values
    hear, what it writes to the logits. "Silence" puts its mean on the reference prompts in its
    place, and the answer and every pattern follow; any number of heads can be silent. A saved
    notebook keeps the picture.
    """

    def __init__(
        self,
        work: AtWork,
        title: str,
        *,
        lanes: Mapping[str, str] | None = None,
        least: float = 0.1,
        start: str | None = None,
    ) -> None:
        costs = {name: fact["loss"] for name, fact in work.facts.items()}
        self.work, self.title = work, title
        self.start = max(costs, key=lambda name: abs(costs[name])) if start is None else start
        if self.start not in costs:
            raise CourseError(f"start={start!r} is none of the heads {', '.join(costs)}.")
        arrows = work.arrows(least)
        roles = {name: work.roles[name] for name in lanes} if lanes else work.roles
        self.circuit = lay_out(roles, arrows, UNIT, costs, lanes or {}, (), numbers=True)

    @cached_property
    def picture(self) -> Figure:
        """The circuit, still."""
        return described_circuit(self.circuit, self.title)

    @cached_property
    def data(self) -> dict[str, Any]:
        """All that a page needs to answer for the whole circuit and for one silent head."""
        sheet = CircuitSheet(self.circuit, self.title, self.picture.alt)
        return {
            "svg": sheet.svg, "places": sheet.places, "start": self.start,
            "tokens": list(self.work.words), "asked": list(self.work.asked),
            "roles": dict(self.work.roles), "facts": dict(self.work.facts),
            "states": self.work.states(),
        }  # fmt: skip

    def figure(self) -> Figure:
        """The still picture."""
        return self.picture

    def widget(self) -> Any:
        """The live circuit, as an anywidget."""
        from circuits_course.page.widget_views import CircuitView

        return CircuitView(data=self.data, state=self.work.state)

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, Any]:
        bundle = bundle_with_widget(self.figure(), self.widget)
        return {**bundle, DATA: json.dumps(self.data, separators=(",", ":"))}

    def _ipython_display_(self) -> None:
        display_described(self.figure(), self._repr_mimebundle_())

    def __repr__(self) -> str:
        return self.figure().text
