"""How a circuit is drawn, still and interactive, from the same lines and circles."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits_course.plots.circuit_layout import ENDS, Arrow, Circuit, Node
from circuits_course.plots.circuit_words import BELOW, SIDE, place_words, words_of
from circuits_course.plots.figure import INK, PALETTE, layout, plotly_text

LANE_COLOUR, PALE, EDGE = "#eef2f6", "#c8c8c8", "#444444"
PLUS, MINUS, HEAD = PALETTE[0], PALETTE[1], "#ffffff"
THINNEST, THICKEST = 1.0, 6.0
MARGIN = 0.75  # beyond the outermost lane, in lanes


def _colour(arrow: Arrow) -> str:
    if arrow.faint:
        return PALE
    return PLUS if arrow.effect >= 0 else MINUS


def width_of(arrow: Arrow) -> float:
    """An arrow's thickness, in points."""
    return THINNEST if arrow.faint else THINNEST + (THICKEST - THINNEST) * arrow.share


def frame(circuit: Circuit) -> tuple[list[float], list[float]]:
    """From left to right and from below to above, in lanes and rows."""
    xs = [node.x for node in circuit.nodes.values()]
    xs += [float(x) for arrow in circuit.arrows for x in arrow.points[:, 0]]
    top = max(circuit.rows.values())
    return [min(xs) - MARGIN, max(xs) + MARGIN], [-0.55, top + (0.75 if circuit.lanes else 0.5)]


# --- still ------------------------------------------------------------------------------------


def paint(canvas: Any, circuit: Circuit) -> None:
    axes = canvas.add_subplot()
    (left, right), (low, high) = frame(circuit)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    axes.set_xticks([])
    axes.set_yticks(list(circuit.rows.values()), list(circuit.rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for x in circuit.lanes.values():
        axes.axvspan(x - 0.3, x + 0.3, color=LANE_COLOUR, zorder=0, linewidth=0)
    for lane, x in circuit.lanes.items():
        axes.text(x, high - 0.05, lane, ha="center", va="top", fontsize=9, color=INK)
    sides, spots = place_words(circuit)
    for index, arrow in enumerate(circuit.arrows):
        _paint_arrow(axes, arrow, spots.get(index))
    for name, node in circuit.nodes.items():
        _paint_node(axes, node, sides.get(name))
    axes.set_xlabel(f"arrows: {circuit.unit}; solid is positive, dashed negative", fontsize=8)


def _paint_arrow(axes: Any, arrow: Arrow, spot: tuple[float, float] | None) -> None:
    colour, width = _colour(arrow), width_of(arrow)
    dash: Any = "-" if arrow.effect >= 0 else (0, (2, 1))
    axes.plot(*arrow.points[:-3].T, color=colour, linewidth=width, linestyle=dash, zorder=2)
    head = f"-|>,head_length={0.35 + 0.07 * width:.2f},head_width={0.16 + 0.05 * width:.2f}"
    tip: Any = {"arrowstyle": head, "color": colour, "linewidth": width, "mutation_scale": 10}
    tip |= {"shrinkA": 0, "shrinkB": 0, "joinstyle": "miter"}
    axes.annotate("", arrow.points[-1], arrow.points[-5], arrowprops=tip, zorder=3)
    if spot:
        back = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        style: Any = {"ha": "center", "va": "center", "fontsize": 8, "bbox": back, "zorder": 6}
        axes.text(*spot, arrow.says, color=INK, **style)


def _paint_node(axes: Any, node: Node, side: tuple[int, int] | None) -> None:
    shape: Any = {"boxstyle": f"{'round' if node.name in ENDS else 'circle'},pad=0.35"}
    shape |= {"facecolor": HEAD, "edgecolor": PALE if node.faded else EDGE}
    name = node.name.replace(" ", "\n")
    size = 9 if name == node.name else 7.5
    style: Any = {"ha": "center", "va": "center", "fontsize": size, "zorder": 5, "bbox": shape}
    axes.text(node.x, node.y, name, color="#767676" if node.faded else INK, **style)
    if side:
        place: Any = {"ha": "left" if side[0] > 0 else "right", "fontsize": 8, "zorder": 4}
        place |= {"va": "bottom" if side[1] > 0 else "top", "textcoords": "offset points"}
        shift = (72 * SIDE * side[0], -72 * BELOW * side[1])
        axes.annotate("\n".join(words_of(node)), (node.x, node.y), shift, color=INK, **place)


# --- interactive ------------------------------------------------------------------------------


def interactive(circuit: Circuit, title: str) -> dict[str, Any]:
    across, up = frame(circuit)
    hidden = {"showgrid": False, "zeroline": False, "ticks": "", "showline": False}
    x: dict[str, Any] = {**hidden, "range": across, "showticklabels": False}
    x["title"] = {
        "text": plotly_text(f"arrows: {circuit.unit}; solid is positive, dashed negative")
    }
    x["title"]["font"] = {"size": 11}
    y: dict[str, Any] = {**hidden, "range": up, "tickvals": list(circuit.rows.values())}
    y["ticktext"] = list(circuit.rows)
    plan = layout(title, x, y, circuit.size, showlegend=False, hovermode="closest")
    plan["shapes"] = [
        {"type": "rect", "x0": at - 0.3, "x1": at + 0.3, "y0": up[0], "y1": up[1],
         "fillcolor": LANE_COLOUR, "line": {"width": 0}, "layer": "below"}
        for at in circuit.lanes.values()
    ]  # fmt: skip
    plan["annotations"] = [*map(_tip, circuit.arrows), *_lane_names(circuit, up[1])]
    sides, spots = place_words(circuit)
    plan["annotations"] += [_number(circuit.arrows[i], spot) for i, spot in spots.items()]
    plan["annotations"] += [_role(circuit.nodes[name], side) for name, side in sides.items()]
    return {"data": [*map(_edge_trace, circuit.arrows), _node_trace(circuit)], "layout": plan}


def _short(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def _edge_trace(arrow: Arrow) -> dict[str, Any]:
    dash = "solid" if arrow.effect >= 0 else "dash"
    line = {"color": _colour(arrow), "width": width_of(arrow), "dash": dash, "shape": "spline"}
    words = f"{arrow.source} to {arrow.target}<br>{plotly_text(arrow.says)}"
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _short(arrow.points[:-1:3, 0]),
        "y": _short(arrow.points[:-1:3, 1]),
        "line": line,
        "hovertemplate": f"{words}<extra></extra>",
    }


def _tip(arrow: Arrow) -> dict[str, Any]:
    (x, y), (ax, ay) = arrow.points[-1], arrow.points[-4]
    return {
        "x": round(float(x), 3), "y": round(float(y), 3), "ax": round(float(ax), 3),
        "ay": round(float(ay), 3), "axref": "x", "ayref": "y", "showarrow": True, "arrowhead": 2,
        "arrowcolor": _colour(arrow), "arrowwidth": max(width_of(arrow), 1.5), "arrowsize": 0.8,
        "text": "",
    }  # fmt: skip


def _node_trace(circuit: Circuit) -> dict[str, Any]:
    nodes = list(circuit.nodes.values())
    ends = [node.name in ENDS for node in nodes]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": _short(np.array([node.x for node in nodes])),
        "y": _short(np.array([node.y for node in nodes])),
        "text": [node.name.replace(" ", "<br>") for node in nodes],
        "customdata": [plotly_text(" ".join([node.name, *words_of(node)])) for node in nodes],
        "hovertemplate": "%{customdata}<extra></extra>",
        "textfont": {"size": 12},
        "marker": {
            "size": [46 if end else 32 for end in ends],
            "color": HEAD,
            "symbol": ["square" if end else "circle" for end in ends],
            "line": {"width": 1.5, "color": [PALE if node.faded else EDGE for node in nodes]},
        },
    }


def _words(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    at = {"x": round(float(x), 3), "y": round(float(y), 3), "text": text, "showarrow": False}
    return {**at, "font": {"size": 11}, **more}


def _number(arrow: Arrow, spot: tuple[float, float]) -> dict[str, Any]:
    return _words(*spot, plotly_text(arrow.says), bgcolor="white", borderpad=1)


def _role(node: Node, side: tuple[int, int]) -> dict[str, Any]:
    across = {"xanchor": "left" if side[0] > 0 else "right", "xshift": round(75 * SIDE * side[0])}
    up = {"yanchor": "bottom" if side[1] > 0 else "top", "yshift": round(-100 * BELOW * side[1])}
    across["align"] = across["xanchor"]
    return _words(node.x, node.y, "<br>".join(map(plotly_text, words_of(node))), **across, **up)


def _lane_names(circuit: Circuit, top: float) -> list[dict[str, Any]]:
    return [_words(x, top, plotly_text(n), yanchor="top") for n, x in circuit.lanes.items()]
