"""Transformer Circuits, the course: find, explain and prove attention circuits, step by step."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits_course.models.loading import load_model
    from circuits_course.models.transformer import CourseTransformer
    from circuits_course.notebook.chapter import Chapter

# Imported on first use: torch and TransformerLens take seconds, and not every command needs them.
_LAZY = {
    "Chapter": "circuits_course.notebook.chapter",
    "CourseTransformer": "circuits_course.models.transformer",
    "load_model": "circuits_course.models.loading",
}
__all__ = ["Chapter", "CourseTransformer", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
