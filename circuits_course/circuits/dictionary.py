"""A tiny dictionary: states of few dimensions as sparse sums of many directions.

A sparse autoencoder in which only the largest features speak (Gao et al. 2024, arXiv 2406.04093).
What heads write has been taken apart in this way by Kissane et al. 2024 (arXiv 2406.17759), with
millions of states and tens of thousands of features; here a few hundred prompts of a small model
do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Dictionary:
    """Directions, and what reads their features off a state.

    directions: [feature, d], each of length 1. readers: [d, feature]; offsets: [feature]. mean: [d]
    of the states it was trained on. active: how many features of a state may speak.
    """

    directions: Float[Tensor, "feature d"]
    readers: Float[Tensor, "d feature"]
    offsets: Float[Tensor, " feature"]
    mean: Float[Tensor, " d"]
    active: int = 1

    def features(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n feature"]:
        """How much of each direction a state holds; 0 for all but the `active` largest."""
        said = ((states - self.mean) @ self.readers + self.offsets).relu()
        largest = said.topk(self.active, dim=-1)
        return torch.zeros_like(said).scatter(-1, largest.indices, largest.values)

    def rebuilt(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The states as their features say them."""
        return self.features(states) @ self.directions + self.mean

    def explained(self, states: Float[Tensor, "n d"]) -> float:
        """The share of the states' variance that is rebuilt: 1 all of it."""
        missed = (states - self.rebuilt(states)).pow(2).sum()
        return 1 - float(missed / (states - states.mean(0)).pow(2).sum())


def random_dictionary(
    states: Float[Tensor, "n d"], n_features: int = 64, seed: int = 0
) -> Dictionary:
    """Directions drawn at random and read along themselves: what training has to beat."""
    draw = torch.randn(n_features, states.shape[1], generator=torch.Generator().manual_seed(seed))
    directions = draw / draw.norm(dim=1, keepdim=True)
    return Dictionary(directions, directions.T.clone(), torch.zeros(n_features), states.mean(0))


def train_dictionary(
    states: Float[Tensor, "n d"],
    n_features: int = 64,
    *,
    steps: int = 1000,
    seed: int = 0,
    batch: int = 512,
    lr: float = 5e-3,
) -> Dictionary:
    """A dictionary that rebuilds these states from one feature each; some seconds."""
    start = random_dictionary(states, n_features, seed)
    directions, readers, offsets = (
        x.clone().requires_grad_() for x in (start.directions, start.readers, start.offsets)
    )
    optimizer = torch.optim.Adam([directions, readers, offsets], lr=lr)
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(len(states), (batch,), generator=generator)
            unit = directions / directions.norm(dim=1, keepdim=True)
            now = Dictionary(unit, readers, offsets, start.mean)
            loss = (states[rows] - now.rebuilt(states[rows])).pow(2).sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    unit = directions / directions.norm(dim=1, keepdim=True)
    return Dictionary(unit.detach(), readers.detach(), offsets.detach(), start.mean)


def best_f1(
    features: Float[Tensor, "n feature"], labels: Int[Tensor, " n"], strong: float = 0.25
) -> Float[Tensor, " label"]:
    """For each label that occurs, how well the best single feature tells its rows from all others.

    A feature speaks where it is above `strong` of its own largest value. F1: the harmonic mean of
    the share of its rows that have the label and the share of the label's rows that it speaks on.
    """
    speaks = (features > strong * features.amax(0).clamp(min=1e-6)).float()
    has = (labels[:, None] == labels.unique()[None]).float()
    both = speaks.T @ has  # [feature, label]
    return (2 * both / (speaks.sum(0)[:, None] + has.sum(0)).clamp(min=1)).amax(0)
