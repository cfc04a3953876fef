"""The table of methods of discovery: its judge, row by row, and what ships."""

from __future__ import annotations

import json

import pytest

from circuits_course.authoring.measure_discovery import __main__ as command
from circuits_course.authoring.measure_discovery.ioi import heads_found
from circuits_course.authoring.measure_discovery.judge import ALL, CONTROLS, Judged, summary
from circuits_course.circuits import Edge, edge_effects, measured_discovery
from circuits_course.mystery import make_planted, planted_edges, planted_task


@pytest.fixture(scope="module")
def case():
    mystery = make_planted("two_back", 2)
    ask, judge = (planted_task(mystery, 6, seed) for seed in (0, 1))
    return Judged(mystery.model, planted_edges(mystery), ask, judge)


def test_exact_patching_is_judged_right_and_chance_is_not(case):
    row = case.row("exact", edge_effects)
    assert (row["precision"], row["recall"], row["recall at true size"]) == (1, 1, 1)
    assert row["cpr"] > 0.9
    assert row["cmd"] < 0.1
    controls = case.controls(seed=0)
    assert len(controls) == CONTROLS
    chance = summary(controls)
    assert chance["recall"][0] < 0.2
    assert chance["cpr"][0] < 0.6
    assert case.controls(seed=1) != controls


def test_every_edge_found_costs_precision(case):
    scores = dict.fromkeys(case.runs.graph.edges, -case.gap)
    row = case.overlap("exact", scores)
    assert row["recall"] == 1
    assert row["precision"] == len(case.truth) / row["found"] < 0.1


def test_rows_are_put_into_the_table_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PATH", tmp_path / "discovery.json")
    command.keep("planted", "induction", {"x": 0.12345})
    command.keep("planted", "majority", {"x": 1})
    command.keep("planted", "induction", {"x": [0.5555]})
    table = json.loads((tmp_path / "discovery.json").read_text())
    assert table["planted"] == {"majority": {"x": 1}, "induction": {"x": [0.555]}}
    assert table["command"].endswith("measure_discovery")


def test_heads_come_in_the_order_of_their_strongest_edge():
    scores = {
        Edge((0, 1), "logits"): -3.0,
        Edge("embed", "logits"): -9.0,
        Edge((0, 0), "logits"): 2.0,
        Edge((1, "mlp"), "logits"): 5.0,
        Edge((0, 2), "logits"): 1.0,
    }
    found = heads_found(scores, {"one": {(0, 1)}, "other": {(0, 2)}})
    assert found == {"recall": 0.5, "one": 1.0, "other": 0.0}


def test_what_ships_has_every_kind_of_circuit_and_every_method():
    table = measured_discovery()
    for part in ("planted", "induction-2l"):
        assert list(table[part]) == list(command.PARTS[part]), part
        for row in table[part].values():
            assert list(row["methods"]) == list(ALL)
    assert set(table["ioi"]) >= {"EAP", "EAP-IG, 5 steps", "nodes", "random"}


@pytest.mark.parametrize(
    ("kind", "method", "recall"),
    [
        ("induction", "exact", 1.0),
        ("told_twice", "EAP-IG, 20 steps", 0.333),
        ("told_twice", "exact, edges silenced", 1.0),
        ("either_will_do", "exact", 0.333),
        ("odd_one_out", "EAP", 0.25),
    ],
)
def test_what_ships_says_what_the_claims_say(kind, method, recall):
    assert measured_discovery()["planted"][kind]["methods"][method]["recall"][0] == recall
