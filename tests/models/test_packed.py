"""Packed weights: the same numbers, and nothing else than before where they cannot be used."""

import pytest
import torch
from torch.nn import functional

from circuits_course.models import packed as room
from circuits_course.models.packed import packed, packed_linear, packing_pays

here = pytest.mark.skipif(not packing_pays(), reason="this processor or torch has no use for it")


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(24, 40)


@pytest.mark.parametrize("bias", [None, numbers(40, seed=3)])
@pytest.mark.parametrize("columns", [False, True])
def test_a_packed_linear_gives_what_linear_gives(bias, columns):
    weight = numbers(24, 40, seed=1).T if columns else numbers(40, 24, seed=1)
    x, linear = numbers(2, 7, 24, seed=2), packed_linear(weight, bias)
    torch.testing.assert_close(linear(x), functional.linear(x, weight, bias), atol=1e-5, rtol=1e-5)


def test_layers_give_the_same_inside(layer):
    x = numbers(70, 24)
    with torch.no_grad():
        plain = layer(x)
        with packed():
            inside = [layer(x), functional.linear(x, layer.weight, layer.bias)]
            weights = functional.linear(x, layer.weight.clone())  # no parameter: as it is
        torch.testing.assert_close(weights, x @ layer.weight.T)
    for found in inside:
        torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


@here
def test_a_layer_is_packed_once_when_it_pays_and_again_when_it_changes(layer, monkeypatch):
    made, make, fast = [], room.packed_linear, packed()
    monkeypatch.setattr(room, "packed_linear", lambda *a: made.append(1) or make(*a))
    with torch.no_grad():
        for rows, times in ((3, 0), (200, 1), (64, 1), (3, 1)):
            with fast:
                layer(numbers(rows, 24))
            assert len(made) == times
        with fast:
            layer.weight.zero_()
            assert torch.equal(layer(numbers(200, 24)), layer.bias.expand(200, -1))
        assert len(made) == 2


def test_gradients_are_as_ever(layer):
    x = numbers(70, 24)
    with torch.enable_grad(), packed():
        layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad[0], x.sum(0))


def test_without_the_instructions_nothing_is_packed(layer, monkeypatch):
    monkeypatch.setattr(room, "packing_pays", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", None, raising=False)
    x = numbers(70, 24)
    with torch.no_grad(), packed():
        assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))
    assert torch.equal(packed_linear(layer.weight)(x), functional.linear(x, layer.weight))
