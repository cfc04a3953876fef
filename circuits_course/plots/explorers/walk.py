"""A walk through a circuit with a slider: one step at a time, whole or with its wire cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.plots.explorers.explorer import Explorer
from circuits_course.plots.figure import Figure
from circuits_course.plots.walk import plot_walk_step

WHOLE, CUT = "as it is", "cut"


class Walk(Explorer):
    """Five steps of induction on one prompt, drawn from a model's activations.

    steps: what `circuits.walk_induction(model, prompt)` returns: a list of dictionaries, measured
    beforehand, so that moving the slider runs no model. A saved notebook keeps the last step.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]]) -> None:
        if not steps:
            raise CourseError(
                "There is no step to walk: use circuits.walk_induction(model, prompt)."
            )
        self.steps = list(steps)
        numbers = list(range(1, len(self.steps) + 1))
        super().__init__(
            self._step,
            {"step": numbers, "wire": [WHOLE, CUT]},
            start={"step": numbers[-1]},
            labels={"wire": "step 2"},
        )

    def _step(self, step: int, wire: str) -> Figure:
        return plot_walk_step(self.steps, step, cut=wire == CUT)
