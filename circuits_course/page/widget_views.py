"""What only a running front end can show: the widgets behind `circuits_course.widgets`.

Imports anywidget, so nothing outside a notebook kernel imports this module.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

STATIC = Path(__file__).parent / "static"
KEY = uuid4().hex
NO_VIEW = "export default {};"


class Stage(anywidget.AnyWidget):
    """The page's side of this kernel: puts widgets in place of still pictures, and names them."""

    _esm = "\n".join(
        (STATIC / name).read_text(encoding="utf-8") for name in ("names.js", "stage.js")
    )
    key = traitlets.Unicode(KEY).tag(sync=True)


class Library(anywidget.AnyWidget):
    """circuitsvis' own script (1.3 MB, 0.4 MB packed), sent to the page once per kernel."""

    _esm = NO_VIEW
    script = traitlets.Bytes().tag(sync=True)


class AttentionView(anywidget.AnyWidget):
    """circuitsvis' head selector on one prompt; pattern: nested lists [head][q][k]."""

    _esm = (STATIC / "attention.js").read_text(encoding="utf-8")
    _css = (STATIC / "attention.css").read_text(encoding="utf-8")
    library: Any = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    tokens: Any = traitlets.List().tag(sync=True)
    pattern: Any = traitlets.List().tag(sync=True)
    head_names: Any = traitlets.List().tag(sync=True)
    causal = traitlets.Bool(True).tag(sync=True)

    def __init__(self, **traits: object) -> None:
        super().__init__(library=f"IPY_MODEL_{library().model_id}", **traits)


class CircuitView(anywidget.AnyWidget):
    """A circuit to touch: `plots.CircuitExplorer`. data: what the page knows; asks the kernel for
    every other set of silent heads by a message {"silenced": names}.
    """

    _esm = "\n".join(
        (STATIC / name).read_text(encoding="utf-8") for name in ("circuit.js", "circuit_view.js")
    )
    _css = (STATIC / "circuit.css").read_text(encoding="utf-8")
    data: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict[str, Any], state: Callable[[list[str]], dict[str, Any]]) -> None:
        super().__init__(data=data)
        self._state = state
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        asked = list(message["silenced"])
        try:
            self.send({"asked": asked, "state": self._state(asked)})
        except Exception as error:  # a callback's traceback goes where no learner looks
            self.send({"asked": asked, "trouble": f"{type(error).__name__}: {error}"})


@cache
def stage() -> Stage:
    """The one stage of this kernel."""
    return Stage()


@cache
def library() -> Library:
    """The one copy of circuitsvis' script, read from its installed files, never from a network."""
    spec = find_spec("circuitsvis")  # found, not imported: importing it imports torch
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("circuitsvis")
    script = Path(spec.submodule_search_locations[0]) / "dist" / "cdn" / "iife.js"
    return Library(script=gzip.compress(script.read_bytes(), 6))
