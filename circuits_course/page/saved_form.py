"""Where a widget goes in the page, and what stands there in a saved notebook.

A widget's own output says "model not found" once its kernel is gone. So what is saved is the
still form alone, and the widget takes its place only in the page that belongs to the kernel.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any
from uuid import uuid4

WIDGET = "application/vnd.jupyter.widget-view+json"
_SLOT = re.compile(r'<div id="circuits-[0-9a-f]{32}">(.*)</div><script>.*</script>', re.DOTALL)


def with_widget(bundle: dict[str, Any], still: str, widget: Any) -> dict[str, Any]:
    """A mime bundle whose `text/html` is a still form and the name of the ipywidget for its place.

    still: HTML with one outermost element. Front ends that show no widget in the page's own HTML
    get the widget's view beside the bundle.
    """
    if _shows_widgets_by_view_only():
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        return {**bundle, WIDGET: view}
    return {**bundle, "text/html": _slot(still, widget.model_id)}


def name_figures() -> None:
    """Has the page give every figure its description: front ends show pictures without one."""
    if not _shows_widgets_by_view_only():
        from circuits_course.page.widget_views import stage

        stage()


def without_widget(page: str) -> str:
    """The still form of a `text/html` that has a slot; other HTML as it is."""
    slot = _SLOT.fullmatch(page)
    return slot[1] if slot else page


def _shows_widgets_by_view_only() -> bool:
    """Colab isolates each output and VS Code makes only the models it shows: no stage there."""
    return "google.colab" in sys.modules or "VSCODE_PID" in os.environ


def _slot(still: str, model_id: str) -> str:
    from circuits_course.page.widget_views import KEY, stage

    stage()
    slot = f"circuits-{uuid4().hex}"
    item = json.dumps({"slot": slot, "model": model_id})
    script = f'((window.circuitsCourse ??= {{}})["{KEY}"] ??= []).push({item});'
    return f'<div id="{slot}">{still}</div><script>{script}</script>'
