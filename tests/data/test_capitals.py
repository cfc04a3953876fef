"""Prompts for capitals: of one length, with answers of one token, and known."""

from __future__ import annotations

import pytest

from circuits_course.data import CAPITALS, capital_prompts
from circuits_course.errors import CourseError


def test_prompts_answer_with_a_capital_that_the_model_knows(smollm2):
    prompts = capital_prompts(smollm2)
    assert len(prompts.countries) == len(prompts.tokens) == len(prompts.answers) >= 12
    for country, tokens, answer in zip(
        prompts.countries, prompts.tokens, prompts.answers, strict=True
    ):
        assert f"capital of {country} is" in smollm2.tokenizer.decode(tokens)
        assert smollm2.tokenizer.decode([int(answer)]) == f" {CAPITALS[country]}"
    assert (smollm2(prompts.tokens)[:, -1].argmax(-1) == prompts.answers).all()


def test_a_template_names_the_country(smollm2):
    with pytest.raises(CourseError, match="lacks"):
        capital_prompts(smollm2, "The capital of France is")
