"""Prompts for capitals: of one length, with answers of one token, and known."""

from __future__ import annotations

import pytest

from circuits_course import load_model
from circuits_course.data import CAPITALS, capital_prompts
from circuits_course.errors import CourseError


@pytest.fixture(scope="module")
def model():
    return load_model("smollm2-135m")


def test_prompts_answer_with_a_capital_that_the_model_knows(model):
    prompts = capital_prompts(model)
    assert len(prompts.countries) == len(prompts.tokens) == len(prompts.answers) >= 12
    for country, tokens, answer in zip(
        prompts.countries, prompts.tokens, prompts.answers, strict=True
    ):
        assert f"capital of {country} is" in model.tokenizer.decode(tokens)
        assert model.tokenizer.decode([int(answer)]) == f" {CAPITALS[country]}"
    assert (model(prompts.tokens)[:, -1].argmax(-1) == prompts.answers).all()


def test_a_template_names_the_country(model):
    with pytest.raises(CourseError, match="lacks"):
        capital_prompts(model, "The capital of France is")
