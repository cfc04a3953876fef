"""Where the parts of a circuit stand: a row for each layer, a lane for each class or position."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuits_course.errors import CourseError
from circuits_course.page.numbers import signed

TOKENS, LOGITS = "tokens", "logits"
ENDS = (TOKENS, LOGITS)
HEAD = re.compile(r"(\d+)\.(\d+|mlp)(?!\d)")
RIGHTMOST = 10_000
FAINT = 0.1  # of the strongest effect: an arrow below is pale and has no number
LANE, ROW = 1.7, 0.85  # inches between lanes and between rows
BOW = 0.16  # how far an arrow bends that would run over a head, as a share of its length
WIDE_BOW = 0.3  # the same where it passes a row: there is the head's name as well
POINTS = 24


@dataclass(frozen=True)
class Node:
    """A head, the tokens or the logits; x, y: its place; effect: NaN where none is known."""

    name: str
    role: str
    effect: float
    x: float
    y: float
    faded: bool


@dataclass(frozen=True)
class Arrow:
    """A path; share: its effect as a share of the strongest; says: the words beside it; points:
    the line [point, xy]."""

    source: str
    target: str
    effect: float
    label: str
    share: float
    says: str
    points: np.ndarray = field(repr=False)

    @property
    def faint(self) -> bool:
        return self.share < FAINT


@dataclass(frozen=True)
class Circuit:
    """Everything that a picture of a circuit shows."""

    nodes: dict[str, Node]
    arrows: list[Arrow]
    rows: dict[str, float]
    lanes: dict[str, float]
    unit: str
    numbers: bool = True

    @property
    def size(self) -> tuple[float, float]:
        """Inches."""
        xs = [node.x for node in self.nodes.values()]
        xs += [float(x) for arrow in self.arrows for x in arrow.points[:, 0]]
        across = max(xs) - min(xs) + 1
        return min(max(1.6 + LANE * across, 5.0), 10.0), 1.7 + ROW * len(self.rows)


def lay_out(
    heads: Mapping[str, str],
    edges: Iterable[Sequence[Any]],
    unit: str,
    effects: Mapping[str, float],
    lanes: Mapping[str, str],
    others: Sequence[str],
    numbers: bool,
) -> Circuit:
    """A circuit with every part in its place; for the arguments see `plot_circuit`."""
    roles = {str(name): str(role) for name, role in heads.items()}
    roles |= {str(name): "" for name in others if name not in roles}
    paths = [_path(edge) for edge in edges]
    used = {end for source, target, *_ in paths for end in (source, target)}
    names = [*roles, *(end for end in ENDS if end in used)]
    if strangers := sorted(used - set(names)):
        raise CourseError(f"A path ends at {strangers[0]!r}, which is none of the heads {names}.")
    rows = _rows(names)
    places, columns = _places(names, rows, lanes, paths)
    known, pale = {str(k): float(v) for k, v in effects.items()}, set(map(str, others)) - used
    nodes = {
        name: Node(name, roles.get(name, ""), known.get(name, np.nan), *places[name], name in pale)
        for name in names
    }
    return Circuit(nodes, _arrows(paths, nodes, numbers), rows, columns, unit, numbers)


def _layer(name: str) -> float:
    """Where a node stands in the order of computing: tokens first, logits last."""
    if name in ENDS:
        return -np.inf if name == TOKENS else np.inf
    return _numbers(name)[0]


def _numbers(name: str) -> tuple[int, int]:
    """Layer and head that a name begins with; an MLP stands right of its layer's heads."""
    if not (found := HEAD.match(name)):
        raise CourseError(f"A head is named by layer and head, such as '4.3', not {name!r}.")
    return int(found[1]), int(found[2]) if found[2] != "mlp" else RIGHTMOST


def _rows(names: Sequence[str]) -> dict[str, float]:
    """{row: height}: one row for each layer that has a head, from the tokens up."""
    layers = sorted({_layer(name) for name in names})
    words = {-np.inf: TOKENS, np.inf: LOGITS}
    return {words.get(layer, f"layer {layer:g}"): float(i) for i, layer in enumerate(layers)}


def _row_of(name: str, rows: Mapping[str, float]) -> float:
    return rows[name if name in ENDS else f"layer {_layer(name):g}"]


def _places(
    names: Sequence[str], rows: Mapping[str, float], lanes: Mapping[str, str], paths: list
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """{node: (x, y)} and {lane: x}."""
    heads = [name for name in names if name not in ENDS]
    if missing := [name for name in heads if lanes and name not in lanes]:
        raise CourseError(f"lanes names no lane for head {missing[0]}.")
    across = _by_lane(heads, rows, lanes) if lanes else _by_layers(heads, rows)
    columns = {}
    for lane in dict.fromkeys(lanes[name] for name in heads) if lanes else ():
        columns[lane] = float(np.mean([across[name] for name in heads if lanes[name] == lane]))
    for end in set(names) & set(ENDS):
        linked = [across[name] for path in paths if end in path[:2] for name in path[:2]
                  if name not in ENDS]  # fmt: skip
        across[end] = float(np.mean(linked or list(across.values())))
    return {name: (across[name], _row_of(name, rows)) for name in names}, columns


def _by_lane(
    heads: Sequence[str], rows: Mapping[str, float], lanes: Mapping[str, str]
) -> dict[str, float]:
    """Each lane as wide as its fullest row; heads of one row and lane stand side by side."""
    groups: dict[str, dict[float, list[str]]] = {}
    for name in heads:
        groups.setdefault(lanes[name], {}).setdefault(_row_of(name, rows), []).append(name)
    across: dict[str, float] = {}
    left = 0.0
    for by_row in groups.values():
        width = max(map(len, by_row.values()))
        for members in by_row.values():
            start = left + (width - len(members)) / 2
            across |= {name: start + i for i, name in enumerate(members)}
        left += width
    return across


def _by_layers(heads: Sequence[str], rows: Mapping[str, float]) -> dict[str, float]:
    """networkx's layered layout: the heads of a layer side by side, each row about the middle.

    It takes the heads of a row in any order; here they stand in that of their numbers.
    """
    import networkx

    graph = networkx.Graph()
    for name in heads:
        graph.add_node(name, row=_row_of(name, rows))
    at = networkx.multipartite_layout(graph, subset_key="row", align="horizontal")
    across: dict[str, float] = {}
    for row in set(rows.values()):
        members = [name for name in heads if _row_of(name, rows) == row]
        members.sort(key=_numbers)
        across |= dict(zip(members, sorted(float(at[name][0]) for name in members), strict=True))
    low, high = min(across.values()), max(across.values())
    widest = max(sum(_row_of(name, rows) == row for name in heads) for row in rows.values())
    return {name: (x - low) / ((high - low) or 1.0) * (widest - 1) for name, x in across.items()}


def _arrows(paths: list, nodes: Mapping[str, Node], numbers: bool = True) -> list[Arrow]:
    largest = max((abs(effect) for _, _, effect, _ in paths), default=0.0) or 1.0
    arrows = []
    for index, (source, target, effect, label) in enumerate(paths):
        start, end = nodes[source], nodes[target]
        if end.y <= start.y:
            raise CourseError(f"A path goes up: {source} -> {target} does not.")
        twins = [i for i, other in enumerate(paths) if other[:2] == (source, target)]
        bow = BOW if end.y - start.y <= 1 else WIDE_BOW
        bend = bow * (twins.index(index) - (len(twins) - 1) / 2) * 2
        says = f"{label} {signed(effect)}".strip() if numbers or not label else label
        line = _line(start, end, bend or _way_round(start, end, nodes.values()))
        arrows.append(Arrow(source, target, effect, label, abs(effect) / largest, says, line))
    return sorted(arrows, key=lambda arrow: arrow.share)


def _way_round(start: Node, end: Node, nodes: Iterable[Node]) -> float:
    """How an arrow bends that would run over another head: 0 where the way is free."""
    along = np.array([end.x - start.x, end.y - start.y])
    for node in nodes:
        if not start.y < node.y < end.y:
            continue
        share = (node.y - start.y) / along[1]
        if abs(start.x + share * along[0] - node.x) < 0.3:
            return WIDE_BOW if node.x <= (start.x + end.x) / 2 else -WIDE_BOW
    return 0.0


def _line(start: Node, end: Node, bend: float) -> np.ndarray:
    """A quadratic curve [point, xy] from the rim of one circle to the rim of the other."""
    a, b = np.array([start.x, start.y]), np.array([end.x, end.y])
    along = b - a
    middle = (a + b) / 2 + bend * 2 * np.array([along[1], -along[0] * 0.3])
    t = np.linspace(0, 1, 4 * POINTS)[:, None]
    line = (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b
    far = [np.hypot((line - p)[:, 0] * LANE, (line - p)[:, 1] * ROW) for p in (a, b)]
    outside = (far[0] > 0.24) & (far[1] > 0.27)  # inches: the circles' radius, and room for the tip
    line = line[outside] if outside.sum() > 2 else line
    return line[np.linspace(0, len(line) - 1, POINTS).round().astype(int)]


def _path(edge: Sequence[Any]) -> tuple[str, str, float, str]:
    if not 3 <= len(edge) <= 4:
        raise CourseError(f"A path is (from, to, effect) or (from, to, effect, label), not {edge}.")
    source, target, effect, *label = edge
    return str(source), str(target), float(effect), str(label[0]) if label else ""
