"""Patch sweeps by button."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array
from circuits_course.plots.explorers.explorer import Explorer
from circuits_course.plots.figure import Figure
from circuits_course.plots.heatmaps import plot_matrix

Sweep = Callable[[str, str, str], Any]


class PatchingExplorer(Explorer):
    """Patch sweeps by button: which corruption, which component, which direction.

    sweep(corruption, component, direction) -> the change that a patch makes as a share of the gap
    between the clean and the corrupted run, [layer, head or position]: denoising restores up to 1,
    noising takes away down to -1. For a model, `gap_sweep(model, clean, corrupted, metric)`.
    corruptions, components: what to choose from. by_position: the components swept by position and
    not by head; words: one per position. start: {"corruption", "component" or "direction": value}.

    A sweep is run when it is chosen for the first time, which may take seconds, and then kept.
    """

    waiting = "Running the sweep; this takes some seconds."

    def __init__(
        self,
        sweep: Sweep,
        corruptions: Sequence[str],
        *,
        words: Sequence[str],
        components: Sequence[str] = ("resid_pre", "z", "q", "k", "v", "pattern"),
        by_position: Sequence[str] = ("resid_pre", "attn_out", "mlp_out"),
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self.sweep, self.words, self.by_position = sweep, list(words), set(by_position)
        controls = {
            "corruption": list(corruptions),
            "component": list(components),
            "direction": ["denoising", "noising"],
        }
        super().__init__(self._picture, controls, start=start)

    def _handle(self, name: str) -> Any:
        """Buttons in a row, so that every choice is in sight."""
        import ipywidgets

        buttons = ipywidgets.ToggleButtons(
            options=self.controls[name],
            value=self.start[name],
            description=name,
            style={"description_width": "7em", "button_width": "auto"},
        )
        buttons.add_class("widget-inline-hbox")  # the label beside its buttons, not above
        return buttons

    def _picture(self, corruption: str, component: str, direction: str) -> Figure:
        change = as_array(self.sweep(corruption, component, direction), "sweep", ndim=2)
        by_position = component in self.by_position
        if by_position and len(self.words) != change.shape[1]:
            raise CourseError(
                f"There are {len(self.words)} words for {change.shape[1]} positions; give one each."
            )
        return plot_matrix(
            change,
            f"{direction.capitalize()} {component}, corruption {corruption}",
            x=("position", self.words) if by_position else "head",
            y="layer",
            unit="share of the gap",
            diverging=True,
        )
