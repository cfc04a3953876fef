"""The gates answer as gates do, and patching sees of them what the theory says."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from circuits_course.circuits.gates import GATES, gate_model
from circuits_course.circuits.patching import attribution_patch, patch_sweep
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import UnknownName

TRUTH = {"and": all, "or": any}
ONE = LogitDifference(torch.tensor([2]), torch.tensor([1]))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("bits", list(product((0, 1), repeat=2)))
def test_every_row_of_the_truth_table(gate, bits):
    model = gate_model(gate)
    logits = model(f"{bits[0]}{bits[1]}=")
    expected = 5.0 if TRUTH[gate](bits) else -5.0
    assert ONE(logits).item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("gate", GATES)
def test_each_head_looks_at_its_own_bit(gate):
    _, cache = gate_model(gate).run_with_cache("10=")
    looks = cache["pattern", 0][0, :, -1]
    torch.testing.assert_close(looks, torch.eye(4)[1:3], atol=1e-5, rtol=0)
    write = cache["z", 0][0, -1, :, 0]
    torch.testing.assert_close(write, torch.tensor([1.0, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("gate", "mode", "seen"),
    [("and", "denoising", -5.0), ("and", "noising", -5.0),
     ("or", "denoising", 5.0), ("or", "noising", 5.0)],
)  # fmt: skip
def test_one_head_at_a_time(gate, mode, seen):
    """Of an AND only noising sees the heads, of an OR only denoising."""
    model = gate_model(gate)
    clean, corrupted = model.to_tokens("11="), model.to_tokens("00=")
    sweep = patch_sweep(model, clean, corrupted, ONE, mode=mode)
    torch.testing.assert_close(sweep, torch.full((1, 2), seen), atol=1e-3, rtol=0)


@pytest.mark.parametrize("gate", GATES)
def test_the_estimate_is_of_the_same_direction_and_blind_in_the_same_way(gate):
    """On the flat side of the neuron the gradient is 0: attribution finds nothing, either."""
    model = gate_model(gate)
    clean, corrupted = model.to_tokens("11="), model.to_tokens("00=")
    flat = "denoising" if gate == "and" else "noising"
    steep = "noising" if gate == "and" else "denoising"
    assert attribution_patch(model, clean, corrupted, ONE, mode=flat).abs().max() == 0
    assert attribution_patch(model, clean, corrupted, ONE, mode=steep).abs().min() > 9


def test_unknown_gates_meet_the_known_ones():
    with pytest.raises(UnknownName, match="or"):
        gate_model("xor")
