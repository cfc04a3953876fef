"""The picture of a measured circuit: roles by position and layer, and the paths between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuits_course.page.numbers import signed

BOXES = {
    "previous token": (0.13, 0.36), "duplicate token": (0.45, 0.27), "induction": (0.45, 0.50),
    "S-inhibition": (0.80, 0.52), "name mover": (0.68, 0.82), "subject suppressor": (1.06, 0.82),
    "negative name mover": (0.24, 0.90), "subject mover": (0.24, 0.72),
    "writer at END, role open": (0.87, 1.03),
}  # fmt: skip
"""Role -> the middle of its box: across by position, up by layer."""
COLOURS = {"helps": "#d7ecd9", "hurts": "#f7d9d6", "prepares": "#dfe7f5"}


def draw_circuit(table: Mapping[str, Any], path: Path) -> None:
    """Draws the circuit as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.hashsalt"] = "circuits"
    figure, axes = plt.subplots(figsize=(11, 7))
    axes.set(xlim=(0, 1.22), ylim=(0, 1.1))
    axes.axis("off")
    for role, place in BOXES.items():
        if table["classes"].get(role):
            _box(axes, role, place, table)
    for x, word in ((0.13, "S1+1"), (0.45, "S2: the subject again"), (0.87, "END")):
        axes.text(x, 0.06, word, ha="center", fontsize=11, style="italic")
    _arrows(axes)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def _box(axes: Any, role: str, place: tuple[float, float], table: Mapping[str, Any]) -> None:
    heads = table["classes"][role]
    cost = table["circuit"]["cost of a class"][role][0]
    direct = sum(table["heads"][head]["held out"]["direct"][0] for head in heads)
    kind = "prepares" if abs(direct) < 0.1 else "helps" if direct > 0 else "hurts"
    lines = [", ".join(heads[i : i + 4]) for i in range(0, len(heads), 4)]
    text = f"{role}\n" + "\n".join(lines) + f"\ndirect {signed(direct)}, knocked out {signed(cost)}"
    axes.text(
        *place, text, ha="center", va="center", fontsize=8.5,
        bbox={"boxstyle": "round,pad=0.45", "facecolor": COLOURS[kind], "edgecolor": "#555555"},
    )  # fmt: skip


# Where along its arrow a word stands, so that none lies over another.
WORDS_AT = {"queries: place": 0.45, "keys: said before": 0.84}


def _arrows(axes: Any) -> None:
    paths = (
        ((0.20, 0.42), (0.33, 0.48), "keys", "-"), ((0.56, 0.32), (0.70, 0.46), "values", "-"),
        ((0.59, 0.50), (0.66, 0.51), "", "-"),
        ((0.78, 0.58), (0.71, 0.75), "queries: place", "-"),
        ((0.58, 0.55), (0.97, 0.76), "keys: said before", "-"),
        ((0.55, 0.84), (0.37, 0.90), "what they write", "--"),
        ((0.45, 0.09), (0.45, 0.20), "", "-"), ((0.13, 0.09), (0.13, 0.29), "", "-"),
        ((0.62, 0.07), (1.16, 0.75), "values: the name itself", "-"),
    )  # fmt: skip
    for start, end, word, style in paths:
        axes.annotate(
            "", xy=end, xytext=start,
            arrowprops={"arrowstyle": "->", "linestyle": style, "color": "#444444", "lw": 1.3},
        )  # fmt: skip
        if word:
            middle = [
                a + WORDS_AT.get(word, 0.5) * (b - a) for a, b in zip(start, end, strict=True)
            ]
            white = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
            axes.text(*middle, word, ha="center", va="center", fontsize=8, bbox=white)
