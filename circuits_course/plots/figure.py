"""One figure in every form a reader may need: interactive, still, and in words."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.page.messages import in_notebook
from circuits_course.page.saved_form import WIDGET, name_figures, with_widget

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PLOTLY = "application/vnd.plotly.v1+json"
INK, GRID = "#222222", "#dddddd"
DPI = 100
TOOLBAR = 28  # pixels above the title that plotly's buttons take
LETTERS_PER_INCH = 11
COLOURS_IN_PNG = 256

# Colour-blind safe: Okabe and Ito's set, and ColorBrewer's Blues and RdBu. White is zero in both.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SEQUENTIAL = ("#ffffff", "#deebf7", "#9ecae1", "#4292c6", "#08519c", "#08306b")
DIVERGING = ("#053061", "#2166ac", "#92c5de", "#ffffff", "#f4a582", "#b2182b", "#67001f")


@dataclass(frozen=True)
class Figure:
    """A picture together with the numbers behind it.

    title: what the picture shows; alt: one sentence for those who cannot see it; table: the
    numbers as text (the strongest, where there are many); numbers: all of them, as arrays;
    paint: draws the still picture; plotly: the interactive one (data and layout), if any;
    live: makes the ipywidget that stands in for the still picture in a live notebook, if any.
    """

    title: str
    alt: str
    table: str
    numbers: dict[str, np.ndarray]
    paint: Callable[[Canvas], None] = field(repr=False)
    size: tuple[float, float] = (7.0, 4.0)
    plotly: dict[str, Any] | None = field(default=None, repr=False)
    live: Callable[[], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise CourseError("A figure needs a title: say what it shows.")

    @cached_property
    def png(self) -> bytes:
        """The still picture; the same bytes for the same numbers."""
        return _render(self)

    @property
    def text(self) -> str:
        """Title, description and numbers."""
        return f"{self.title}\n{self.alt}\n{self.table}"

    def __repr__(self) -> str:
        return self.text

    def static_bundle(self) -> dict[str, Any]:
        """Every form that needs no running kernel.

        JupyterLab shows the still picture and makes it interactive when the mouse enters it.
        """
        png = base64.b64encode(self.png).decode()
        bundle: dict[str, Any] = {"text/plain": self.text, "image/png": png}
        if self.plotly is not None:
            bundle[PLOTLY] = {**self.plotly, "config": {"displaylogo": False}}
        return bundle

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, Any]:
        if self.live is None:
            return self.static_bundle()

        return bundle_with_widget(self, self.live)

    def _ipython_display_(self) -> None:
        display_described(self, self._repr_mimebundle_())

    @property
    def words(self) -> str:
        """Title, description and numbers as HTML to unfold, for the page below the picture."""
        style = 'style="margin:.2em 0;overflow-x:auto"'
        return (
            '<details class="circuits-words" style="font-size:90%;margin:0 0 .6em .2em">'
            f"<summary>In words and numbers</summary><p>{html.escape(self.alternative)}</p>"
            f'<pre tabindex="0" {style}>{html.escape(self.table)}</pre></details>'
        )

    @property
    def alternative(self) -> str:
        """Title and description: what stands for the picture where it cannot be seen."""
        return f"{self.title}. {self.alt}"

    def image_tag(self) -> str:
        """An `<img>` that carries its own bytes and its description."""
        data = base64.b64encode(self.png).decode()
        alt = html.escape(self.alternative, quote=True)
        return f'<img src="data:image/png;base64,{data}" alt="{alt}" style="max-width:100%">'

    def live_html(self) -> str:
        """Picture and words for a widget, in which both change together."""
        return f"{self.image_tag()}{self.words}"

    def to_html(self) -> str:
        """A self-contained `<figure>`: picture, title, and the numbers to unfold. No script."""
        return (
            f"<figure>{self.image_tag()}<figcaption>{html.escape(self.title)}</figcaption>"
            f"<details><summary>Numbers</summary><pre>{html.escape(self.table)}</pre></details>"
            "</figure>"
        )

    def show(self) -> None:
        """Display the figure in a notebook, or print its numbers outside of one."""
        self._ipython_display_()


def title_lines(title: str, width: float) -> list[str]:
    """A title in as many lines as fit `width` inches."""
    return wrap(title, max(24, int(width * LETTERS_PER_INCH))) or [title]


def colour_scale(diverging: bool) -> tuple[str, ...]:
    """Colours from the lowest value to the highest."""
    return DIVERGING if diverging else SEQUENTIAL


def plotly_text(text: str) -> str:
    """Text for plotly, which reads a few HTML tags but not every entity."""
    return html.escape(text, quote=False)


def layout(title: str, x: Mapping, y: Mapping, size: tuple[float, float], **more: Any) -> dict:
    """A plotly layout that needs no template (those cost 7 kB in every saved figure)."""
    lines = title_lines(title, size[0])
    axis = {"ticks": "outside", "gridcolor": GRID, "zerolinecolor": GRID, "automargin": True}
    return {
        "title": {
            "text": plotly_text("\n".join(lines)).replace("\n", "<br>"),
            "font": {"size": 15},
            "x": 0.02,
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": TOOLBAR},
        },
        "xaxis": {**axis, **x},
        "yaxis": {**axis, **y, **_apart(y)},
        "width": int(size[0] * DPI),
        "height": int(size[1] * DPI),
        "margin": {"l": 60, "r": 20, "t": TOOLBAR + 12 + 20 * len(lines), "b": 50},
        "font": {"color": INK, "size": 12},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        **more,
    }


def _apart(axis: Mapping) -> dict:
    """An upright title keeps off the names of the rows, however long they are."""
    return {"title": {"standoff": 12, **axis["title"]}} if "title" in axis else {}


def _render(figure: Figure) -> bytes:
    """Draw with matplotlib's Agg whatever the reader's own settings, and save a small PNG."""
    import warnings

    from matplotlib import rc_context, rcParamsDefault
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from PIL import Image

    # parse_math off: a token may be a dollar sign.
    plain: Any = {"text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False}
    ours: Any = {key: value for key, value in rcParamsDefault.items() if key != "backend"}
    with rc_context({**ours, **plain, "font.size": 9.0}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas = Canvas(figsize=figure.size, dpi=DPI, layout="constrained")
        figure.paint(canvas)
        title = "\n".join(title_lines(figure.title, figure.size[0]))
        canvas.suptitle(title, fontsize=11, x=0.02, ha="left")
        agg = FigureCanvasAgg(canvas)
        agg.draw()
        pixels = Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3].copy())
    out = io.BytesIO()
    pixels.quantize(COLOURS_IN_PNG, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def described(figure: Figure, bundle: dict[str, Any] | None = None) -> list[tuple[dict, dict]]:
    """What goes into the page, as (mime bundle, metadata): a figure, and below it its words.

    bundle: the figure's own (default: its still form). The description also goes along as metadata
    of the picture, of which nbconvert makes its `alt`; JupyterLab makes none, so the page's own
    script does.
    """
    if widgets_installed():
        name_figures()
    picture = figure.static_bundle() if bundle is None else bundle
    words = {"text/plain": "", "text/html": figure.words}
    return [(picture, {"image/png": {"alt": figure.alternative}}), (words, {})]


def display_described(figure: Figure, bundle: dict[str, Any]) -> None:
    """Puts a figure and its words in the page; outside of a notebook, prints the words."""
    if not in_notebook():
        print(figure.text)
        return
    from IPython.display import display

    for data, metadata in described(figure, bundle):
        display(data, metadata=metadata, raw=True)


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
