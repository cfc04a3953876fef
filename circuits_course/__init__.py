"""Transformer Circuits, the course: find, explain and prove attention circuits, step by step."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits_course.chapter import Chapter as Chapter
    from circuits_course.models import load_model as load_model
    from circuits_course.transformer import CourseTransformer as CourseTransformer

# Imported on first use: torch and TransformerLens take seconds, and not every command needs them.
_LAZY = {
    "Chapter": "circuits_course.chapter",
    "CourseTransformer": "circuits_course.transformer",
    "load_model": "circuits_course.models",
}
__all__ = ["Chapter", "CourseTransformer", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
