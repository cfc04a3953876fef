"""Edges, a measured table and a claim, as a picture of a circuit takes them."""

from __future__ import annotations

import pytest
import torch

from circuits_course.circuits import discovery, measured_arrows, measured_circuit
from circuits_course.circuits.discovery import Edge
from circuits_course.circuits.losses import mean_losses
from circuits_course.models.loading import load_model
from circuits_course.mystery import Claim, claim_arrows, make_mystery, open_seal
from circuits_course.plots import plot_circuit


def test_edges_become_arrows_with_what_is_lost_the_strongest_first():
    effects = {
        Edge("embed", (0, 3, "v")): -2.0,
        Edge((0, 3), (1, 2, "k")): -3.0,
        Edge((1, 2), "logits"): 0.5,
        Edge((0, 0), (1, "mlp")): -1.0,
        Edge((0, 1), "logits"): 0.01,
    }
    assert discovery.arrows(effects, least=0.1) == [
        ("0.3", "1.2", 3.0, "K"),
        ("tokens", "0.3", 2.0, "V"),
        ("0.0", "1.mlp", 1.0, ""),
        ("1.2", "logits", -0.5, ""),
    ]


def test_the_induction_circuit_is_five_edges():
    model = load_model("induction-2l")
    tokens = model.to_tokens("qxbmztwkqxbmztwk")
    edges = discovery.edge_effects(
        model, tokens, None, lambda logits: -mean_losses(logits, tokens, 10).mean()
    )
    drawn = discovery.arrows(edges, least=0.2)
    assert {arrow[:2] + arrow[3:] for arrow in drawn} == {
        ("tokens", "0.3", "V"),
        ("tokens", "1.3", "Q"),
        ("tokens", "1.3", "V"),
        ("0.3", "1.3", "K"),
        ("1.3", "logits", ""),
    }


def test_the_measured_circuit_draws_every_path_of_its_table():
    table = measured_circuit("smollm2-135m")
    parts = measured_arrows(table)
    text = plot_circuit(**parts, title="IOI", unit="logits").text
    heard = table["mechanism"]["who hears S-inhibition"]["name movers"][0]
    assert f"{-heard:+.2f}" in text
    assert {"S1 + 1", "S2", "END"} == set(parts["lanes"].values())
    movers = [table["heads"][h]["held out"]["direct"][0] for h in table["classes"]["name mover"]]
    written = next(e for e in parts["edges"] if e[1] == "logits" and e[0].endswith("+3"))
    assert written[2] == pytest.approx(sum(movers))


def test_a_claim_shows_right_and_wrong_edges_and_none_that_are_missing():
    torch.manual_seed(0)
    practice = make_mystery("practice", 17)
    (main,), (backup,) = open_seal(practice).heads.values()
    heads = dict(zip(open_seal(practice).heads, [[main], [backup]], strict=True))
    into = {letter: (main, (*backup, letter)) for letter in "qk"}
    claimed = Claim("practice", heads, [(main, "logits"), into["k"]])
    parts = claim_arrows(claimed, practice)
    assert [(mark, label) for *_, mark, label in parts["edges"]] == [(1, "right"), (-1, "K wrong")]
    told = plot_circuit(**parts, title="Claim", unit="right or wrong", numbers=False).text
    assert "Q" not in told.split("head ")[0]
    assert "strongest" not in told
    right = Claim("practice", heads, [(main, "logits"), into["q"], (backup, "logits")])
    assert {mark for *_, mark, _ in claim_arrows(right, practice)["edges"]} == {1}
