"""A circuit's picture: who stands where, what an arrow says, and the same in words."""

from __future__ import annotations

import numpy as np
import pytest

from circuits_course.errors import CourseError
from circuits_course.plots import plot_circuit
from circuits_course.plots.circuit_layout import _arrows, _path, _places, _rows
from circuits_course.plots.circuit_words import _about, _covered, place_words
from circuits_course.plots.figure import PLOTLY

HEADS = {"0.3": "previous token", "1.3": "induction", "1.0": "bigram"}
EDGES = [
    ("tokens", "0.3", 2.1),
    ("0.3", "1.3", 4.5, "K"),
    ("0.3", "1.0", -1.2, "Q"),
    ("1.3", "logits", 5.1),
    ("1.0", "logits", 0.1),
]


def drawn(**more):
    return plot_circuit(HEADS, EDGES, "Cut edges", unit="added loss (nats)", **more)


def test_the_words_tell_every_path_and_head_the_strongest_first():
    text = drawn(effects={"0.3": 4.1}).text
    lines = [line.split() for line in text.splitlines()]
    paths = [line for line in lines if ">" in line]
    assert [line[:3] for line in paths[:2]] == [["1.3", ">", "logits"], ["0.3", ">", "1.3"]]
    assert ["0.3", ">", "1.0", "Q", "-1.20"] in paths
    assert ["0.3", "previous", "token", "+4.10"] in lines
    assert "nan" not in text
    assert "The strongest path goes from 1.3 to logits: +5.10" in text


def test_layers_go_up_from_the_tokens_and_skip_those_without_a_head():
    rows = _rows(["17.3", "4.1", "tokens", "logits", "4.0"])
    assert rows == {"tokens": 0, "layer 4": 1, "layer 17": 2, "logits": 3}


def test_heads_of_one_lane_and_row_stand_side_by_side_and_lanes_apart():
    names = ["4.3", "4.5", "9.2", "9.1"]
    lanes = {"4.3": "S2", "4.5": "S2", "9.2": "END", "9.1": "S2"}
    places, columns = _places(names, _rows(names), lanes, [])
    assert len({places[name] for name in names}) == 4
    assert max(places[name][0] for name in ("4.3", "4.5", "9.1")) < places["9.2"][0]
    assert list(columns) == ["S2", "END"]


def test_the_layout_does_not_depend_on_the_order_of_heads():
    names = [f"{layer}.{head}" for layer in range(2) for head in range(4)]
    one, _ = _places(names, _rows(names), {}, [])
    other, _ = _places(names[::-1], _rows(names), {}, [])
    assert one == other
    assert [one[f"0.{head}"][0] for head in range(4)] == pytest.approx([0, 1, 2, 3])


def test_an_arrow_goes_round_a_head_in_its_way():
    heads = {"0.0": "", "1.0": "", "2.0": ""}
    figure = plot_circuit(heads, [("0.0", "2.0", 1.0)], "Round", unit="effect")
    line, *_ = figure.plotly["data"]
    assert max(np.abs(line["x"])) > 0.2  # all three heads stand at x = 0


def test_sign_is_told_by_dash_as_well_as_colour_and_weak_paths_have_no_number():
    plotly = drawn()._repr_mimebundle_()[PLOTLY]
    lines = {trace["hovertemplate"].split("<br>")[0]: trace for trace in plotly["data"][:-1]}
    assert lines["0.3 to 1.0"]["line"]["dash"] == "dash"
    assert lines["0.3 to 1.3"]["line"]["dash"] == "solid"
    assert lines["1.3 to logits"]["line"]["width"] > lines["0.3 to 1.0"]["line"]["width"] > 1
    written = [note["text"] for note in plotly["layout"]["annotations"]]
    assert "K +4.50" in written
    assert "+0.10" not in written


def test_words_stand_off_each_other_and_off_the_heads():
    from circuits_course.plots.circuit_layout import Circuit, Node

    names = [*HEADS, "tokens", "logits"]
    rows = _rows(names)
    paths = [_path(edge) for edge in EDGES]
    places, lanes = _places(names, rows, {}, paths)
    nodes = {n: Node(n, HEADS.get(n, ""), np.nan, *places[n], False) for n in names}
    circuit = Circuit(nodes, _arrows(paths, nodes), rows, lanes, "nats")
    sides, spots = place_words(circuit)
    boxes = [
        _about(np.array([x * 1.7, y * 0.85]), len(circuit.arrows[i].says))
        for i, (x, y) in spots.items()
    ]
    for i, box in enumerate(boxes):
        assert _covered(box, boxes[:i]) < 1
    assert set(sides) == set(HEADS)


def test_pale_heads_are_there_without_words():
    figure = drawn(others=["0.0", "0.1"])
    assert "2 other heads are drawn pale" in figure.alt
    assert "0.0" not in figure.table
    assert figure.png != drawn().png


@pytest.mark.parametrize(
    ("heads", "edges", "more", "message"),
    [
        (HEADS, [("0.3", "5.5", 1.0)], {}, "'5.5', which is none of the heads"),
        (HEADS, [("1.3", "0.3", 1.0)], {}, "1.3 -> 0.3 does not"),
        (HEADS, [("0.3", "1.3")], {}, "A path is"),
        ({"induction": ""}, [], {}, "not 'induction'"),
        (HEADS, [], {"lanes": {"0.3": "END"}}, "no lane for head 1.3"),
    ],
)
def test_mistakes_are_named(heads, edges, more, message):
    with pytest.raises(CourseError, match=message):
        plot_circuit(heads, edges, "T", unit="effect", **more)
