"""What heads of very different models are compared by: the same sequences, and relative depth."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """The strongest head of one behaviour: depth from 0 (first layer) to 1 (last), and score."""

    depth: float
    score: float
