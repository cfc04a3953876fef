"""Where things lie: the learner's data, the model cache, the course's own sources."""

from __future__ import annotations

import os
from pathlib import Path

from circuits_course.errors import UnknownName

APP = "circuits-course"
PACKAGE = Path(__file__).resolve().parent
SOURCE_KINDS = ("exercises", "notebooks", "solutions")


def data_dir() -> Path:
    """Folder of the learner's progress; `CIRCUITS_COURSE_HOME` overrides it. Not created here."""
    override = os.environ.get("CIRCUITS_COURSE_HOME")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return platformdirs.user_data_path(APP, appauthor=False)


def cache_dir() -> Path:
    """Folder of converted models; `CIRCUITS_COURSE_CACHE` overrides it. Not created here."""
    override = os.environ.get("CIRCUITS_COURSE_CACHE")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return platformdirs.user_cache_path(APP, appauthor=False)


def source_dir(kind: str) -> Path:
    """Folder of the exercise sources, reference answers or notebooks.

    A wheel carries them inside the package; in a checkout they stand beside it.
    """
    if kind not in SOURCE_KINDS:
        raise UnknownName("kind of source", kind, SOURCE_KINDS)
    packaged = PACKAGE / f"_{kind}"
    return packaged if packaged.is_dir() else PACKAGE.parent / kind
