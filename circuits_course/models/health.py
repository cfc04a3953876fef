"""What a learner needs, looked at piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.models.catalogue import model_path, real_on_disk
from circuits_course.models.installer import index_problem
from circuits_course.models.shipped import course_models, facts
from circuits_course.models.smollm2 import REQUIREMENT, SMOLLM2
from circuits_course.storage import file_hash

# -- doctor ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examined:
    """One thing that `circuits-course doctor` looked at; `advice` says what is, or what to do."""

    name: str
    ok: bool
    advice: str


def doctor() -> list[Examined]:
    """What a learner needs: Python, libraries, shipped weights, a place to keep things, a model."""
    return [_python(), _libraries(), _shipped(), _place(), _real()]


def _python() -> Examined:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 10)
    return Examined("Python", ok, version if ok else f"{version}; the course needs 3.10 or later")


def _libraries() -> Examined:
    wanted = ("torch", "transformer_lens", "transformers", "gguf", "plotly", "circuitsvis")
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        advice = f"missing: {', '.join(missing)}; run `python -m pip install circuits-course`"
        return Examined("libraries", False, advice)
    named = (f"{name} {metadata.version(name)}" for name in wanted[:3])
    return Examined("libraries", True, ", ".join(named))


def _shipped() -> Examined:
    harmed = [
        name
        for name in course_models()
        if not model_path(name).is_file() or file_hash(model_path(name)) != facts(name)["sha256"]
    ]
    if harmed:
        return Examined("course models", False, f"{', '.join(harmed)} damaged; install again")
    return Examined("course models", True, ", ".join(course_models()))


def _place() -> Examined:
    from circuits_course.storage import writable_dir

    said: list[str] = []
    try:
        folder = writable_dir(said.append)
    except CourseError as error:
        return Examined("model cache", False, str(error))
    return Examined("model cache", True, said[0] if said else str(folder))


def _real() -> Examined:
    checks: list[tuple[Callable[[], Any], str]] = [
        (lambda: real_on_disk(SMOLLM2), f"{SMOLLM2} is on this disk"),
        (lambda: index_problem(REQUIREMENT) is None, f"{SMOLLM2} will be fetched when first used"),
    ]
    for holds, advice in checks:
        if holds():
            return Examined("real model", True, advice)
    return Examined(
        "real model",
        False,
        f"none on this disk, and it cannot be fetched: {index_problem(REQUIREMENT)}",
    )
