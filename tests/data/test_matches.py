"""Prompts with one match."""

import torch

from circuits_course.data import one_match_prompts


def test_clean_ends_with_a_symbol_that_came_before_and_corrupted_does_not():
    clean, corrupted, answer = one_match_prompts(50, 7, seed=3)
    assert clean.shape == corrupted.shape == (50, 9)
    for good, bad, due in zip(clean.tolist(), corrupted.tolist(), answer.tolist(), strict=True):
        assert good[0] == bad[0] == 0
        assert good[-1] == bad[-1]
        first = good.index(good[-1])
        assert first < 7
        assert good[first + 1] == due
        assert bad.index(bad[-1]) == 8
        assert sum(a != b for a, b in zip(good, bad, strict=True)) == 1
        assert len(set(good[1:-1])) == len(set(bad[1:])) - 1 == 7


def test_seeds_give_other_prompts():
    assert not torch.equal(one_match_prompts(5, seed=1).clean, one_match_prompts(5, seed=2).clean)
    assert torch.equal(one_match_prompts(5, seed=1).clean, one_match_prompts(5, seed=1).clean)
