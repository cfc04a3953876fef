"""The end of a notebook's set-up on Colab (and anywhere else): widgets on, then "ready"."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DRIVE = Path("/content/drive")


def set_up() -> None:
    """Turns on what Colab needs for widgets, and says "ready" or what is missing. Works twice."""
    if importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"):
        from google.colab import output

        output.enable_custom_widget_manager()
    from circuits_course.models.health import doctor

    missing = [finding for finding in doctor() if not finding.ok]
    for finding in missing:
        print(f"✘ {finding.name}: {finding.advice}")
    if not missing:
        print("ready")
