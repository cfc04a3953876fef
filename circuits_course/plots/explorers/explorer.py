"""Explorers and live figures: they move while a kernel runs, and leave a still picture behind."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.plots.figure import Figure, bundle_with_widget, display_described


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

        picture = ipywidgets.HTML(self.figure().live_html())
        handles = {name: self._handle(name) for name in self.controls}

        def redraw(_change: Any) -> None:
            values = {name: handle.value for name, handle in handles.items()}
            if self.waiting and tuple(values.values()) not in self._drawn:
                picture.value = _dimmed(picture.value, self.waiting)
                if (rough := self._quick(values)) is not None:
                    picture.value = rough.live_html()
            picture.value = self._image(values)

        for handle in handles.values():
            handle.observe(redraw, names="value")
        return ipywidgets.VBox([*handles.values(), picture])

    def _quick(self, values: dict[str, Any]) -> Figure | None:  # noqa: ARG002
        """What can be shown sooner than the figure, where there is such a thing."""
        return None

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
            return self.figure(**values).live_html()
        except Exception as error:  # a callback's traceback goes where no learner looks
            return f'<pre role="alert">{html.escape(f"{type(error).__name__}: {error}")}</pre>'

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, Any]:
        return bundle_with_widget(self.figure(), self.widget)

    def _ipython_display_(self) -> None:
        display_described(self.figure(), self._repr_mimebundle_())

    def __repr__(self) -> str:
        return self.figure().text


def _dimmed(picture: str, says: str) -> str:
    """The old picture, pale and in its place, under a word on what is going on."""
    words = "position:absolute;top:.5em;left:.5em;padding:.3em .8em;background:#fff;color:#222"
    pale = f'<div style="opacity:.35" aria-hidden="true">{picture}</div>'
    return (
        f'<div style="position:relative">{pale}'
        f'<p role="status" style="{words};border:1px solid #888">{html.escape(says)}</p></div>'
    )
