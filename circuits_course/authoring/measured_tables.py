"""What the commands that measure share: how a table that ships writes its numbers."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """A table with every number to three digits after the point, and no minus zero."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 3) + 0.0 if isinstance(value, float) else value
