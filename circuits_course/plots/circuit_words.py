"""Where the words of a circuit stand: off the arrows, off the heads and off each other.

Places are tried one after another and the one that covers least is taken: few words, so this is
quicker and steadier than pushing them apart (adjustText), and both forms of a figure share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

import numpy as np

from circuits_course.page.numbers import signed
from circuits_course.plots.circuit_layout import ENDS, LANE, ROW, Arrow, Circuit, Node

ROLE_LETTERS = 15
LETTER, LINE = 0.068, 0.15  # inches
SIDE, BELOW = 0.26, 0.06  # inches from a circle's middle to the words beside it
ALONG = (0.5, 0.62, 0.38, 0.74, 0.26, 0.84, 0.16)  # where on an arrow its number may stand
UPRIGHT = 0.3  # across by up, below which an arrow counts as upright
SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # right or left, upper or lower

Box = tuple[float, float, float, float]  # inches: left, right, low, high


def words_of(node: Node) -> list[str]:
    """The lines beside a circle: its role and its own effect."""
    if node.faded or node.name in ENDS:
        return []
    own = [signed(node.effect)] if np.isfinite(node.effect) else []
    return [*wrap(node.role, ROLE_LETTERS)[:2], *own]


def place_words(
    circuit: Circuit,
) -> tuple[dict[str, tuple[int, int]], dict[int, tuple[float, float]]]:
    """Where roles and numbers stand.

    First {head: side}, as (1 right or -1 left, 1 upper or -1 lower); then {index of an arrow:
    where its number stands}, for those that have one.
    """
    taken = [_circle(node) for node in circuit.nodes.values()]
    lines = [_inches(point) for arrow in circuit.arrows for point in arrow.points]
    sides = {}
    for name, node in circuit.nodes.items():
        if words := words_of(node):
            boxes = {side: _beside(node, words, side) for side in SIDES}
            cost = {s: 3 * _covered(b, taken) + _crossed(b, lines) for s, b in boxes.items()}
            sides[name] = min(SIDES, key=lambda side: cost[side])
            taken.append(boxes[sides[name]])
    spots = {}
    for index in reversed(range(len(circuit.arrows))):  # the strongest first
        arrow = circuit.arrows[index]
        if not arrow.faint:
            at = [point + _aside(arrow) for point in _along(arrow)]
            boxes_at = [_about(spot, len(arrow.says)) for spot in at]
            best = min(range(len(at)), key=lambda i: _covered(boxes_at[i], taken))
            taken.append(boxes_at[best])
            spots[index] = (float(at[best][0] / LANE), float(at[best][1] / ROW))
    return sides, spots


def _along(arrow: Arrow) -> list[np.ndarray]:
    last = len(arrow.points) - 1
    return [_inches(arrow.points[int(share * last)]) for share in ALONG]


def _aside(arrow: Arrow) -> np.ndarray:
    """An upright arrow's number stands to its right, not on it: it would hide the arrow."""
    along = _inches(arrow.points[-1] - arrow.points[0])
    bent = np.ptp(arrow.points[:, 0] * LANE) > abs(along[0]) + 0.1
    upright = abs(along[0]) < UPRIGHT * along[1] and not bent
    return np.array([LETTER * len(arrow.says) / 2 + 0.1 if upright else 0.0, 0.0])


def _inches(point: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.array([point[0] * LANE, point[1] * ROW])


def _circle(node: Node) -> Box:
    x, y = _inches((node.x, node.y))
    return x - 0.22, x + 0.22, y - 0.2, y + 0.2


def _about(spot: np.ndarray, letters: int) -> Box:
    half = LETTER * letters / 2
    return spot[0] - half, spot[0] + half, spot[1] - LINE / 2, spot[1] + LINE / 2


def _beside(node: Node, words: Sequence[str], side: tuple[int, int]) -> Box:
    x, y = _inches((node.x, node.y))
    wide, tall = LETTER * max(map(len, words)), LINE * len(words)
    left = x + SIDE if side[0] > 0 else x - SIDE - wide
    low = y - BELOW if side[1] > 0 else y + BELOW - tall
    return left, left + wide, low, low + tall


def _covered(box: Box, others: Iterable[Box]) -> float:
    """The area, in letters, on which a box lies over others."""
    area = 0.0
    for left, right, low, high in others:
        across = min(box[1], right) - max(box[0], left)
        up = min(box[3], high) - max(box[2], low)
        area += max(across, 0) * max(up, 0)
    return area / (LETTER * LINE)


def _crossed(box: Box, points: Iterable[np.ndarray]) -> int:
    """How many points of arrows lie under a box."""
    return sum(box[0] < p[0] < box[1] and box[2] < p[1] < box[3] for p in points)
