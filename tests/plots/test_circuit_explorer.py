"""The circuit explorer's data and drawing; how it is used stands in tests/browser."""

from __future__ import annotations

import json
from typing import ClassVar
from xml.etree import ElementTree

import pytest

from circuits_course.errors import CourseError
from circuits_course.plots import CircuitExplorer, plot_circuit
from circuits_course.plots.explorers.circuit import DATA

SVG = "{http://www.w3.org/2000/svg}"


class Work:
    """Two heads, measured by hand."""

    words = ("BOS", "<b>", "c")
    asked = ("c", None)
    roles: ClassVar = {"0.1": "first & before", "1.2": "last"}
    facts: ClassVar = {
        "0.1": {"query": 1, "key": 1, "loss": -0.5, "feeders": [["V", "tokens", 1.0]], "direct": 0},
        "1.2": {"query": 2, "key": 1, "loss": 3.0, "feeders": [["K", "0.1", 0.4]], "direct": 0.9},
    }

    def arrows(self, least):
        every = [("tokens", "0.1", 1.0, "V"), ("0.1", "1.2", -0.4, "K"), ("1.2", "logits", 0.9, "")]
        return [arrow for arrow in every if abs(arrow[2]) >= least]

    def state(self, silenced=()):
        shown = {"pattern": [[100], [50, 50], [0, 90, 10]], "raises": [["c", 1.0]], "lowers": []}
        heads = dict.fromkeys(self.roles, shown)
        return {"silenced": list(silenced), "score": 3.0, "says": [["c", 0.9]], "heads": heads}

    def states(self):
        return [self.state(), *(self.state([name]) for name in self.roles)]


def parts(explorer, kind):
    root = ElementTree.fromstring(explorer.data["svg"])
    return [g for g in root.iter(f"{SVG}g") if g.get("class") == kind]


def test_every_head_and_arrow_is_a_part_of_its_own():
    explorer = CircuitExplorer(Work(), "Two heads")
    assert [node.get("data-node") for node in parts(explorer, "node")] == ["0.1", "1.2"]
    assert parts(explorer, "node")[0].get("aria-label") == "0.1 first & before -0.50"
    ends = [(path.get("data-from"), path.get("data-to")) for path in parts(explorer, "path")]
    assert sorted(ends) == [("0.1", "1.2"), ("1.2", "logits"), ("tokens", "0.1")]
    assert 'role="group"' in explorer.data["svg"]
    assert 'role="img"' not in explorer.data["svg"]


def test_an_arrow_points_at_its_reader_and_negative_ones_are_dashed():
    explorer = CircuitExplorer(Work(), "Two heads")
    for path in parts(explorer, "path"):
        x, y = explorer.data["places"][path.get("data-to")]
        tip = path.find(f"{SVG}polygon").get("points").split()[0]
        ax, ay = map(float, tip.split(","))
        assert abs(ax - x) + abs(ay - y) < 60
        dashed = path.find(f"{SVG}path").get("stroke-dasharray") is not None
        assert dashed == ((path.get("data-from"), path.get("data-to")) == ("0.1", "1.2"))


def test_the_picture_is_the_circuit_and_stands_for_it_where_nothing_runs():
    work = Work()
    explorer = CircuitExplorer(work, "Two heads", least=0.5)
    costs = {"0.1": -0.5, "1.2": 3.0}
    same = plot_circuit(
        work.roles, work.arrows(0.5), "Two heads",
        unit="share that goes without the sender", effects=costs,
    )  # fmt: skip
    assert repr(explorer) == same.text
    assert explorer.figure().png == same.png
    bundle = explorer._repr_mimebundle_()
    assert {"image/png", "text/plain"} <= set(bundle)


def test_its_data_is_one_line_of_json_with_the_whole_and_every_head_silent():
    explorer = CircuitExplorer(Work(), "Two heads")
    stored = explorer._repr_mimebundle_()[DATA]
    assert "\n" not in stored
    data = json.loads(stored)
    assert [state["silenced"] for state in data["states"]] == [[], ["0.1"], ["1.2"]]
    assert data["start"] == "1.2"  # costs most
    assert data["asked"] == ["c", None]
    assert data["tokens"] == ["BOS", "<b>", "c"]


def test_lanes_order_the_heads_and_a_start_must_be_one_of_them():
    lanes = {"1.2": "END", "0.1": "S2"}
    explorer = CircuitExplorer(Work(), "Two heads", lanes=lanes, start="0.1")
    places = explorer.data["places"]
    assert places["1.2"][0] < places["0.1"][0]
    with pytest.raises(CourseError, match="none of the heads"):
        CircuitExplorer(Work(), "Two heads", start="7.7")


def test_the_kernel_answers_for_any_set_of_silent_heads_and_tells_its_trouble(monkeypatch):
    widgets = pytest.importorskip("circuits_course.page.widget_views")
    work, sent = Work(), []
    monkeypatch.setattr(widgets.CircuitView, "send", lambda self, message: sent.append(message))

    def state(silenced):
        if "7.7" in silenced:
            raise CourseError("'7.7' is none of the circuit's heads: 0.1, 1.2.")
        return work.state(silenced)

    view = widgets.CircuitView(data=CircuitExplorer(work, "Two heads").data, state=state)
    for asked in (["0.1", "1.2"], ["7.7"]):
        view._answer(view, {"silenced": asked}, [])
    assert sent[0] == {"asked": ["0.1", "1.2"], "state": work.state(["0.1", "1.2"])}
    assert sent[1]["asked"] == ["7.7"]
    assert sent[1]["trouble"].startswith("CourseError: '7.7' is none")
