"""Famous pairs after random tokens."""

import torch

from circuits_course.data import pairs_in_noise, repeats_for


class Speller:
    """A stand-in for a model: each word is one token, its length; three words are three."""

    tokenizer = None

    class cfg:
        d_vocab, n_ctx = 40, 30

    def to_tokens(self, text, prepend_bos):
        assert text.startswith(" ")
        assert not prepend_bos
        return torch.tensor([[len(word) for word in text.split()]])


def test_rows_are_noise_and_then_the_pair():
    rows = pairs_in_noise(Speller(), ("ab cde", "one two three", "abcd e"), context=3, seed=2)
    assert rows.shape == (2, 6)
    assert rows[:, 4:].tolist() == [[2, 3], [4, 1]]
    assert torch.equal(rows[:, :4], repeats_for(Speller(), 3, batch=2, seed=2)[:, :4])
