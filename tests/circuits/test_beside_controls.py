"""An effect beside its controls, one number a sequence."""

import torch

from circuits_course.circuits import beside_controls, per_sequence


def test_a_sequence_counts_once_however_many_places_it_has():
    change = torch.tensor([[1.0, 3.0, 9.0], [5.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    assert per_sequence(change, mask).tolist() == [2.0, 5.0]


def test_the_first_is_held_against_the_others():
    mask = torch.ones(4, 2, dtype=torch.bool)
    levels = [2.0, 1.0, 3.0, -1.0]
    row = beside_controls(torch.stack([torch.full((4, 2), level) for level in levels]), mask)
    assert row["effect"] == 2.0
    assert (row["lowest control"], row["highest"]) == (-1.0, 3.0)
    assert row["ours is"] == "more than 2 of 3"
