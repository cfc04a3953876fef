"""A text's bigrams by counting."""

import torch

from circuits_course.data import likeliest_followers


def test_the_most_frequent_follower_is_found():
    tokens = torch.tensor([1, 2, 1, 3, 1, 2, 4, 1, 2])
    assert likeliest_followers(tokens, at_least=4) == {1: 2}
    assert likeliest_followers(tokens, at_least=1)[4] == 1


def test_of_equals_the_first_in_the_text_counts():
    assert likeliest_followers(torch.tensor([5, 7, 5, 6]), at_least=2) == {5: 7}


def test_the_last_token_has_no_follower():
    assert likeliest_followers(torch.tensor([1, 2, 3]), at_least=1) == {1: 2, 2: 3}
