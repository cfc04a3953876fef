"""A mystery as a task for automatic discovery, and the edges that a method should find."""

from __future__ import annotations

from typing import Any

from circuits_course.circuits.discovery import DiscoveryTask, Edge
from circuits_course.circuits.discovery.tasks import contrast
from circuits_course.mystery.sealing import Mystery, open_seal


def planted_task(mystery: Mystery, count: int = 32, seed: int = 0) -> DiscoveryTask:
    """Fresh inputs of a mystery, each against another one on which the model says something else.

    Raises CourseError where too few inputs are told apart.
    """
    clean = mystery.sample(40 * count, seed)
    return contrast(mystery.model, clean, clean.roll(1, 0), count)


def planted_edges(mystery: Mystery) -> list[Edge]:
    """The edges between heads, and to the logits, of which the planted circuit is made."""
    edges: list[Any] = open_seal(mystery).edges
    return [Edge(*edge) for edge in edges]
