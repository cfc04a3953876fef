"""What a notebook needs on Colab: widgets turned on, and progress kept on the learner's Drive."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from circuits_course.errors import CourseError

if TYPE_CHECKING:
    from circuits_course.notebook.chapter import Chapter

DRIVE = Path("/content/drive")
KEPT = "MyDrive/transformer-circuits/progress.sqlite"


def set_up() -> None:
    """Turns on what Colab needs for widgets, and says "ready" or what is missing. Works twice."""
    if on_colab():
        from google.colab import output

        output.enable_custom_widget_manager()
    from circuits_course.models.health import doctor

    missing = [finding for finding in doctor() if not finding.ok]
    for finding in missing:
        print(f"✘ {finding.name}: {finding.advice}")
    if not missing:
        print("ready")


def on_colab() -> bool:
    return bool(importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"))


def keep_on_drive(chapter: Chapter) -> None:
    """Adds the progress that lies on the learner's Google Drive, then saves all of it there.

    Raises CourseError where this is not Colab or Drive is not mounted.
    """
    if not on_colab():
        raise CourseError("This is not Colab: your progress is kept on this machine as it is.")
    from google.colab import drive

    drive.mount(str(DRIVE))
    place = DRIVE / KEPT
    if place.is_file():
        chapter.restore_progress(place)
    chapter.save_progress(place)
