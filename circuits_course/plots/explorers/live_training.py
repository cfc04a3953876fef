"""Figures that grow while a loop trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from circuits_course.page.messages import in_notebook
from circuits_course.plots.figure import Figure, described
from circuits_course.plots.lines import plot_lines
from circuits_course.plots.sketch import sketch_lines

MAX_POINTS = 400

SHORTEST_WAIT = 0.35  # seconds between two pictures: about three a second

SHARE_FOR_PICTURES = 0.02  # of the time, at most, goes into drawing

BAR = 30


class LiveTraining:
    """A progress bar and figures that grow while a loop trains.

        with LiveTraining("Loss while training", total=2000, y_title="loss (nats)") as live:
            for step in range(2000):
                live.update(step + 1, loss=loss)

    panels: {y title: names of the values drawn there}, for values with different units; without
    it, all values share one panel named `y_title`. Drawing takes at most 2 % of the running time.
    Interrupted or not, what was seen stays as still figures (`.figures`) and as `.history`.
    Outside of Jupyter, progress is a line of text now and then.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        y_title: str = "value",
        x_title: str = "training step",
        panels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.title, self.total, self.step, self.x_title = title, total, 0, x_title
        self.history: dict[str, list[float]] = {"step": []}
        self._panels = dict(panels or {y_title: ()})
        self._wait, self._last, self._started = SHORTEST_WAIT, 0.0, 0.0
        self._displays: list[Any] = []

    def __enter__(self) -> LiveTraining:
        self._started = self._last = time.perf_counter()
        if in_notebook():
            from IPython.display import display

            empty = {"text/plain": ""}
            places = range(1 + 2 * len(self._panels))  # of each panel the picture and its words
            self._displays = [display(empty, raw=True, display_id=True) for _ in places]
            self._displays[0].update({"text/plain": self._bar()}, raw=True)
        return self

    def update(self, step: int, **values: Any) -> None:
        """Note the values (numbers or one-element tensors) reached after `step` steps."""
        self.step = step
        for name in {**self.history, **values}:
            seen = self.history.setdefault(name, [float("nan")] * len(self.history["step"]))
            if name != "step":
                seen.append(float(values.get(name, "nan")))
        self.history["step"].append(step)
        now = time.perf_counter()
        if now - self._last >= self._wait:
            self._show(sketch_lines)
            self._last = time.perf_counter()
            self._wait = max(self._shortest, (self._last - now) / SHARE_FOR_PICTURES)

    def follow(
        self,
        steps: Iterable[Any],
        measure: Callable[[Any], Mapping[str, Any]],
        *,
        every: int = 10,
        stop: Callable[[dict[str, list[float]]], bool] | None = None,
    ) -> dict[str, list[float]]:
        """Goes through the steps of a training, measures every tenth, and returns the history.

        steps: anything whose items have a `number`; measure: a step -> {name: value}; stop: looks
        at the history after each measurement and says whether to end before `total` steps.
        """
        for step in steps:
            if step.number % every == 0:
                self.update(step.number, **measure(step))
                if stop and stop(self.history):
                    break
            if step.number >= self.total:
                break
        return self.history

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._show(plot_lines, final=True)

    @property
    def _shortest(self) -> float:
        return SHORTEST_WAIT if self._displays else 5.0

    @property
    def figures(self) -> list[Figure]:
        """What was seen so far, one figure per panel."""
        return list(self._drawn(plot_lines))

    def _drawn(self, draw: Callable) -> Iterator[Any]:
        """Each panel as `draw` makes it, from at most 400 points."""
        places = np.arange(len(self.history["step"]))
        if len(places) > MAX_POINTS:
            places = np.unique(np.linspace(0, len(places) - 1, MAX_POINTS).round().astype(int))
        seen = {name: np.array(values)[places] for name, values in self.history.items()}
        steps = seen.pop("step")
        for y_title, names in self._panels.items():
            lines = {name: seen[name] for name in names or seen if name in seen}
            title = self.title if len(self._panels) == 1 else f"{self.title}: {y_title}"
            if lines:
                yield draw(lines, title, x=(self.x_title, steps), y=y_title)

    def _show(self, draw: Callable, final: bool = False) -> None:
        line = self._end() if final else self._bar()
        if not self._displays:
            print(line, file=sys.stderr)
            return
        bar, *places = self._displays
        bar.update({"text/plain": line}, raw=True)
        pairs = zip(places[::2], places[1::2], self._drawn(draw), strict=False)
        for picture, words, drawn in pairs:
            if not final:
                picture.update({"text/html": drawn, "text/plain": line}, raw=True)
                continue
            for place, (bundle, metadata) in zip((picture, words), described(drawn), strict=True):
                place.update(bundle, metadata=metadata, raw=True)

    def _bar(self) -> str:
        done = min(self.step / max(self.total, 1), 1.0)
        full = round(BAR * done)
        parts = [f"{'█' * full}{'░' * (BAR - full)} {self.step} of {self.total} steps"]
        parts += [f"{name} {seen[-1]:.3g}" for name, seen in self.history.items() if name != "step"]
        if self.step:
            parts.append(f"{time.perf_counter() - self._started:.0f} s")
        return " · ".join(parts)

    def _end(self) -> str:
        """No time in it: a notebook that runs again saves the same text."""
        word = "✔ Done" if self.step >= self.total else "○ Stopped"
        return f"{word}: {self.step} of {self.total} steps."
