"""Five prompts, each with the token that should come next."""

from __future__ import annotations

from circuits_course.data import five_prompts


def test_every_prompt_is_one_sequence_and_the_last_repeats_itself(smollm2):
    prompts = five_prompts(smollm2)
    assert list(prompts) == ["fact", "phrase", "grammar", "IOI", "repeated"]
    for tokens, answer in prompts.values():
        assert tokens.shape[0] == 1
        assert tokens[0, 0] == smollm2.to_tokens("a")[0, 0]
        assert 0 <= answer < smollm2.cfg.d_vocab
    tokens, answer = prompts["repeated"]
    copy = tokens[0, 1:13]
    assert copy[:-1].tolist() == tokens[0, 13:].tolist()
    assert answer == copy[-1]
