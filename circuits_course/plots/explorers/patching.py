"""Patch sweeps by button."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.page.messages import in_notebook
from circuits_course.plots.arrays import as_array
from circuits_course.plots.explorers.explorer import Explorer
from circuits_course.plots.figure import Figure, described
from circuits_course.plots.heatmaps import plot_matrix

Sweep = Callable[..., Any]
ROUGH = 4  # every fourth layer comes first


class PatchingExplorer(Explorer):
    """Patch sweeps by button: which corruption, which component, which direction.

    sweep(corruption, component, direction, every=1) -> the change that a patch makes as a share of
    the gap between the clean and the corrupted run, [layer, head or position]: denoising restores
    up to 1, noising takes away down to -1. For a model, `GapSweep(model, clean, corrupted,
    metric)`.
    corruptions, components: what to choose from. by_position: the components swept by position and
    not by head; words: one per position. start: {"corruption", "component" or "direction": value}.

    A sweep is run when it is chosen for the first time, which may take seconds, and then kept.
    Every fourth layer comes first (`every=4`, the others not a number), for something to look at.
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

    def _quick(self, values: dict[str, Any]) -> Figure | None:
        try:
            rough = self._picture(**values, every=ROUGH)
        except Exception:  # it will be told of the whole sweep
            return None
        layers = np.isfinite(rough.numbers["share of the gap"]).any(1).sum()
        return rough if layers > 1 else None

    def _ipython_display_(self) -> None:
        """Every fourth layer at once, and the whole sweep in its place when it is through."""
        rough = self._quick(self.start) if in_notebook() else None
        if rough is None:
            super()._ipython_display_()
            return
        from IPython.display import display

        (first, about), _ = described(rough)
        place = display(first, metadata=about, raw=True, display_id=True)
        (picture, about), (words, _) = described(self.figure(), self._repr_mimebundle_())
        place.update(picture, metadata=about, raw=True)
        display(words, raw=True)

    def _picture(self, corruption: str, component: str, direction: str, every: int = 1) -> Figure:
        change = as_array(self.sweep(corruption, component, direction, every), "sweep", ndim=2)
        by_position = component in self.by_position
        if by_position and len(self.words) != change.shape[1]:
            raise CourseError(
                f"There are {len(self.words)} words for {change.shape[1]} positions; give one each."
            )
        return plot_matrix(
            change,
            f"{direction.capitalize()} {component}, corruption {corruption}"
            + (f": every {every}th layer, more to come" if every > 1 else ""),
            x=("position", self.words) if by_position else "head",
            y="layer",
            unit="share of the gap",
            diverging=True,
        )
