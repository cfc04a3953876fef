"""A browser for the heads of any model: all of them as thumbnails, one at a time on the tokens."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.plots.arrays import as_array
from circuits_course.plots.attention import plot_attention
from circuits_course.plots.figure import Figure, bundle_with_widget, display_described
from circuits_course.plots.thumbnails import plot_thumbnails

LONGEST = 64  # tokens: beyond, thumbnails show nothing
ACROSS = 6  # thumbnails side by side


Read = Callable[[str], tuple[Sequence[str], Any]]


class HeadBrowser:
    """Look at every head on a prompt of your own.

    read: prompt -> its tokens as words, and the patterns of all heads, [layer, head, q, k]; for a
    model, `lambda prompt: read_patterns(model, prompt)`. prompt: text. start: the (layer, head)
    shown first. Live, there is a box for the prompt, a slider for the layer, and a thumbnail with a
    button for each of its heads; all of them work from the keyboard. A saved notebook keeps the
    thumbnails of all heads. Raises CourseError for a prompt that is empty or too long and for a
    head that does not exist.
    """

    def __init__(self, read: Read, prompt: str, *, start: tuple[int, int] = (0, 0)) -> None:
        self._read, self.start = read, start
        self.read(prompt)
        layer, head = start
        n_layers, n_heads = self.patterns.shape[:2]
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise CourseError(
                f"There is no head {layer}.{head}: the model has {n_layers} layers of {n_heads} "
                "heads, counted from 0."
            )

    def read(self, prompt: str) -> None:
        """Reads another prompt. Raises CourseError where it is empty or too long."""
        words, patterns = self._read(prompt) if prompt.strip() else ((), None)
        if not 2 <= len(words) <= LONGEST:
            raise CourseError(f"A prompt needs 1 to {LONGEST - 1} tokens.")
        self.words = [str(word) for word in words]
        self.patterns = as_array(patterns, "patterns", ndim=4)
        self.prompt = prompt

    def figure(self) -> Figure:
        """All heads as thumbnails."""
        return plot_thumbnails(self.patterns, f"Every head on {self.prompt!r}")

    def head(self, layer: int, head: int) -> Figure:
        """One head's attention on the tokens."""
        name = f"{layer}.{head}"
        pattern = self.patterns[layer, head : head + 1]
        return plot_attention(self.words, pattern, f"Head {name}", head_names=[name])

    def widget(self) -> Any:
        """The live browser, as an ipywidget."""
        return _Browser(self).box

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, Any]:
        return bundle_with_widget(self.figure(), self.widget)

    def _ipython_display_(self) -> None:
        display_described(self.figure(), self._repr_mimebundle_())

    def __repr__(self) -> str:
        return self.figure().text


class _Browser:
    """The widgets of one browser."""

    def __init__(self, browser: HeadBrowser) -> None:
        import ipywidgets

        self.browser, self.chosen = browser, browser.start[1]
        wide = {"width": "min(100%, 640px)"}
        self.prompt = ipywidgets.Text(
            value=browser.prompt, description="prompt", layout=wide, continuous_update=False
        )
        self.layer = ipywidgets.IntSlider(
            value=browser.start[0], min=0, max=len(browser.patterns) - 1,
            description="layer", layout=wide, continuous_update=False,
        )  # fmt: skip
        heads = range(browser.patterns.shape[1])
        self.thumbnails = [ipywidgets.HTML() for _ in heads]
        self.buttons = [ipywidgets.Button(layout={"width": "96px"}) for _ in heads]
        for button in self.buttons:
            button.add_class("circuits-choice")
        self.detail, self.said = ipywidgets.HTML(), ipywidgets.HTML()
        cells = map(ipywidgets.VBox, zip(self.thumbnails, self.buttons, strict=True))
        columns = f"repeat({min(ACROSS, len(heads))}, max-content)"
        grid = ipywidgets.GridBox(list(cells), layout={"grid_template_columns": columns})
        self.box = ipywidgets.VBox([self.prompt, self.said, self.layer, grid, self.detail])
        self.prompt.observe(self._read, names="value")
        self.layer.observe(self._show, names="value")
        for head, button in enumerate(self.buttons):
            button.on_click(lambda _button, head=head: self._choose(head))
        self._show()

    def _read(self, _change: Any) -> None:
        try:
            self.browser.read(self.prompt.value)
        except Exception as error:  # a callback's traceback goes where no learner looks
            self.said.value = f'<p role="alert">✘ {html.escape(str(error))}</p>'
            for picture in (*self.thumbnails, self.detail):
                picture.value = ""  # of the prompt before
            return
        self._show()

    def _choose(self, head: int) -> None:
        self.chosen = head
        self._show()

    def _show(self, _change: Any = None) -> None:
        if self.said.value and self.browser.prompt != self.prompt.value:
            return  # there is nothing to show until the prompt can be read
        layer, self.said.value = self.layer.value, ""
        for head, (picture, button) in enumerate(zip(self.thumbnails, self.buttons, strict=True)):
            name = f"{layer}.{head}"
            picture.value = _thumbnail(self.browser.patterns[layer, head], f"Head {name}")
            button.description = f"{name} ◂" if head == self.chosen else name
            button.button_style = "info" if head == self.chosen else ""
        self.detail.value = self.browser.head(layer, self.chosen).live_html()


def _thumbnail(pattern: np.ndarray, alt: str) -> str:
    """A small picture of a pattern: a pixel for each cell, enlarged by the page."""
    import base64
    import io

    from PIL import Image

    shades = (255 * (1 - pattern.clip(0, 1))).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(shades, mode="L").save(out, "png", optimize=True)
    data = base64.b64encode(out.getvalue()).decode()
    style = "width:96px;height:96px;image-rendering:pixelated;border:1px solid #bbb"
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" style="{style}">'
