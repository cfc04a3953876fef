"""The planted skip-trigrams: where they stand."""

from __future__ import annotations

import torch

from circuits_course.data import PlantedSkipTrigrams

DATA = PlantedSkipTrigrams()


def tokens(*texts: str) -> torch.Tensor:
    return torch.tensor([[DATA.vocabulary.index(word) for word in text.split()] for text in texts])


def test_places_are_those_after_the_source():
    read = tokens("BOS in keep the in in", "BOS in take the in in", "BOS in the the at in")
    assert DATA.places(read, "keep", "in").nonzero().tolist() == [[0, 4], [0, 5]]
    assert DATA.places(read, "take", "in").nonzero().tolist() == [[1, 4], [1, 5]]


def test_places_without_a_source_stand_before_any():
    read = tokens("BOS in keep the in in", "BOS in the the at in")
    assert DATA.places(read, None, "in").nonzero().tolist() == [[0, 1], [1, 1], [1, 5]]


def test_what_stands_after_the_places_is_as_likely_as_the_table_says():
    read = DATA.batch(4000, torch.Generator().manual_seed(5))
    keep, at, bay = (DATA.vocabulary.index(word) for word in ("keep", "at", "bay"))
    follows = read[:, 1:][DATA.places(read, "keep", "at")[:, :-1]]
    share, truth = (follows == bay).float().mean(), DATA.next_token[keep, at, bay]
    assert abs(share - truth) < 0.06
