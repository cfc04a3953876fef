"""Explorers and live figures: they move while a kernel runs, and leave a still picture behind."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.figure import PLOTLY, Figure
from circuits_course.plots.heatmaps import plot_matrix
from circuits_course.plots.lines import plot_lines
from circuits_course.plots.sketch import sketch_lines
from circuits_course.render import in_notebook
from circuits_course.slots import WIDGET, with_widget

MAX_POINTS = 400
SHORTEST_WAIT = 0.35  # seconds between two pictures: about three a second
SHARE_FOR_PICTURES = 0.02  # of the time, at most, goes into drawing
BAR = 30


@cache
def widgets_installed() -> bool:
    """Whether the packages behind live widgets are there."""
    return all(find_spec(name) for name in ("anywidget", "ipywidgets"))


def bundle_with_widget(figure: Figure, widget: Any) -> dict[str, Any]:
    """A still figure whose place is taken by a widget wherever one can run.

    widget: an ipywidget, or a function that makes one (called only where it can be shown).
    Returns a mime bundle. Without a kernel or the widget packages it is the still figure alone;
    with them, `text/html` holds the picture and the name of the widget, not the widget.
    """
    bundle = figure.static_bundle()
    if not (in_notebook() and widgets_installed()):
        return bundle
    try:
        made: Any = widget() if callable(widget) else widget
    except ModuleNotFoundError:  # circuitsvis
        return bundle
    live = with_widget(bundle, figure.image_tag(), made)
    if WIDGET not in live:
        live.pop(PLOTLY, None)  # JupyterLab prefers it to text/html
    return live


class Explorer:
    """A figure with controls: `draw(**values)` is called again whenever a control moves.

    controls: {argument of draw: the values it can take}; numbers become a slider, names a menu.
    start: {argument: value} to begin with (each control's first value by default); this is also
    what a saved notebook shows. All controls work from the keyboard.
    """

    waiting = ""  # what to say while a figure is drawn for the first time

    def __init__(
        self,
        draw: Callable[..., Figure],
        controls: Mapping[str, Sequence[Any]],
        *,
        start: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.draw, self.labels = draw, dict(labels or {})
        self.controls = {name: list(values) for name, values in controls.items()}
        empty = [name for name, values in self.controls.items() if not values]
        if empty or not self.controls:
            raise CourseError(f"An explorer needs values to choose from; none for {empty}.")
        self.start = {name: values[0] for name, values in self.controls.items()} | dict(start or {})
        for name, value in self.start.items():
            if value not in self.controls.get(name, []):
                raise CourseError(f"{name}={value!r} is not among {self.controls.get(name)}.")
        self._drawn: dict[tuple, Figure] = {}

    def figure(self, **values: Any) -> Figure:
        """The figure for these values; controls not named stand where they start."""
        chosen = {**self.start, **values}
        key = tuple(chosen.values())
        if key not in self._drawn:
            self._drawn[key] = self.draw(**chosen)
        return self._drawn[key]

    def widget(self) -> Any:
        """Controls above a picture, as an ipywidget."""
        import ipywidgets

        picture = ipywidgets.HTML(self.figure().image_tag())
        handles = {name: self._handle(name) for name in self.controls}

        def redraw(_change: Any) -> None:
            values = {name: handle.value for name, handle in handles.items()}
            if self.waiting and tuple(values.values()) not in self._drawn:
                picture.value = f'<p role="status">{html.escape(self.waiting)}</p>'
            picture.value = self._image(values)

        for handle in handles.values():
            handle.observe(redraw, names="value")
        return ipywidgets.VBox([*handles.values(), picture])

    def _handle(self, name: str) -> Any:
        import ipywidgets

        values = self.controls[name]
        numeric = all(isinstance(value, (int, float)) for value in values) and len(values) > 1
        kind = ipywidgets.SelectionSlider if numeric else ipywidgets.Dropdown
        return kind(
            options=[(str(value), value) for value in values],
            value=self.start[name],
            description=self.labels.get(name, name),
            style={"description_width": "initial"},
            layout={"width": "min(100%, 640px)"},
        )

    def _image(self, values: dict[str, Any]) -> str:
        try:
            return self.figure(**values).image_tag()
        except Exception as error:  # a callback's traceback goes where no learner looks
            return f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle_with_widget(self.figure(), self.widget)

    def __repr__(self) -> str:
        return self.figure().text


class CheckpointScrubber(Explorer):
    """Walk through training with a slider: `draw(step, frame)` gives the figure of one checkpoint.

    frames: {training step: whatever draw needs, such as a pattern or a dictionary of scores};
    start: the step shown first and in a saved notebook (the last by default).
    """

    def __init__(
        self,
        frames: Mapping[int, Any],
        draw: Callable[[int, Any], Figure],
        *,
        start: int | None = None,
        label: str = "training step",
    ) -> None:
        if not frames:
            raise CourseError("There is no checkpoint to scrub through: frames is empty.")
        steps = sorted(frames)
        super().__init__(
            lambda step: draw(step, frames[step]),
            {"step": steps},
            start={"step": steps[-1] if start is None else start},
            labels={"step": label},
        )


class PatchingExplorer(Explorer):
    """Patch sweeps by button: which corruption, which component, which direction.

    model, clean, metric: as for `patching.patch_sweep`. corrupted: {name: tokens [batch, pos]}.
    words: one per position, for the axis of the residual stream. components: those of
    `patch_sweep` to choose from. start: {"corruption", "component" or "direction": value}.

    A sweep is run when it is chosen for the first time, which may take seconds, and then kept.
    Shown is the change that a patch makes, as a share of the gap between the clean and the
    corrupted run: denoising restores up to 1, noising takes away down to -1.
    """

    waiting = "Running the sweep; this takes some seconds."

    def __init__(
        self,
        model: Any,
        clean: Any,
        corrupted: Mapping[str, Any],
        metric: Any,
        *,
        words: Sequence[str],
        components: Sequence[str] = ("resid_pre", "z", "q", "k", "v", "pattern"),
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.clean, self.metric = model, clean, metric
        self.corrupted, self.words = dict(corrupted), list(words)
        if len(self.words) != clean.shape[1]:
            raise CourseError(
                f"There are {len(self.words)} words for {clean.shape[1]} positions; give one each."
            )
        controls = {
            "corruption": list(self.corrupted),
            "component": list(components),
            "direction": ["denoising", "noising"],
        }
        super().__init__(self._sweep, controls, start=start)

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

    def _sweep(self, corruption: str, component: str, direction: str) -> Figure:
        from circuits_course.patching import patch_sweep
        from circuits_course.patching.sweep import PER_HEAD

        by_head = component in PER_HEAD
        over = ("layer", "head" if by_head else "position")
        prompts = self.clean, self.corrupted[corruption]
        mode: Any = direction
        metrics = patch_sweep(
            self.model, *prompts, self.metric, over, component=component, mode=mode
        )
        high, low = self._ends(corruption)
        change = (metrics - (low if direction == "denoising" else high)) / (high - low)
        title = f"{direction.capitalize()} {component}, corruption {corruption}"
        return plot_matrix(
            change,
            title,
            x_labels=None if by_head else self.words,
            x_title="head" if by_head else "position",
            y_title="layer",
            unit="share of the gap",
            diverging=True,
        )

    def _ends(self, corruption: str) -> tuple[float, float]:
        """The metric of the clean and of the corrupted run."""
        import torch

        with torch.no_grad():
            runs = [self.model(tokens) for tokens in (self.clean, self.corrupted[corruption])]
            high, low = (float(self.metric(logits)) for logits in runs)
        if high == low:
            raise CourseError(f"Corruption {corruption!r} leaves the metric as it is: no gap.")
        return high, low


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
            places = range(1 + len(self._panels))
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
                yield draw(lines, title, x=steps, x_title=self.x_title, y_title=y_title)

    def _show(self, draw: Callable, final: bool = False) -> None:
        line = self._end() if final else self._bar()
        if not self._displays:
            print(line, file=sys.stderr)
            return
        bar, *pictures = self._displays
        bar.update({"text/plain": line}, raw=True)
        for place, drawn in zip(pictures, self._drawn(draw), strict=False):
            bundle = drawn.static_bundle() if final else {"text/html": drawn, "text/plain": line}
            place.update(bundle, raw=True)

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
