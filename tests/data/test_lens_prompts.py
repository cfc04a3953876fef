"""Five prompts, each with the token that should come next."""

from __future__ import annotations

from circuits_course import load_model
from circuits_course.data import five_prompts


def test_every_prompt_is_one_sequence_and_the_last_repeats_itself():
    model = load_model("smollm2-135m")
    prompts = five_prompts(model)
    assert list(prompts) == ["fact", "phrase", "grammar", "IOI", "repeated"]
    for tokens, answer in prompts.values():
        assert tokens.shape[0] == 1
        assert tokens[0, 0] == model.to_tokens("a")[0, 0]
        assert 0 <= answer < model.cfg.d_vocab
    tokens, answer = prompts["repeated"]
    copy = tokens[0, 1:13]
    assert copy[:-1].tolist() == tokens[0, 13:].tolist()
    assert answer == copy[-1]
