"""The tiny dictionary: on states that are known sums of directions, and what its score means."""

from __future__ import annotations

import pytest
import torch

from circuits_course.circuits.dictionary import best_f1, random_dictionary, train_dictionary


@pytest.fixture(scope="module")
def clusters():
    """Thirty directions in eight dimensions, each state one of them, louder or softer."""
    draw = torch.Generator().manual_seed(77)
    directions = torch.randn(30, 8, generator=draw)
    labels = torch.randint(30, (3000,), generator=draw)
    loud = 1 + torch.rand(3000, 1, generator=draw)
    return loud * directions[labels] + 0.02 * torch.randn(3000, 8, generator=draw), labels


def test_directions_in_superposition_are_found(clusters):
    states, labels = clusters
    found = train_dictionary(states[:2000], 64, steps=800)
    new, names = states[2000:], labels[2000:]
    drawn = [random_dictionary(states[:2000], 64, seed) for seed in range(20)]
    assert best_f1(found.features(new), names).mean() > 0.85
    assert found.explained(new) > 0.9 > max(other.explained(new) for other in drawn)


def test_one_feature_speaks_at_most(clusters):
    states, _ = clusters
    said = random_dictionary(states).features(states)
    assert (said > 0).sum(-1).max() == 1
    assert random_dictionary(states).directions.norm(dim=1).sub(1).abs().max() < 1e-5


def test_the_score_is_the_best_features_harmonic_mean():
    labels = torch.tensor([0, 0, 1, 1, 1])
    features = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0]])
    torch.testing.assert_close(best_f1(features, labels), torch.tensor([0.8, 0.8]))
