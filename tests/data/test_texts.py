"""The passages that models are measured on."""

from __future__ import annotations

import re

import pytest

from circuits_course.data.texts import SOURCES, passage
from circuits_course.errors import UnknownName


@pytest.mark.parametrize("name", SOURCES)
def test_passage_is_clean_prose_of_the_length_its_source_states(name):
    text = passage(name)
    stated = int(re.search(r"([\d,]+) words", SOURCES[name].extent)[1].replace(",", ""))
    assert len(text.split()) == stated
    assert text.isascii()
    assert not re.search(r"  |[^\n]\n[^\n]|[*_`\t]", text)


def test_openings_are_the_books():
    assert passage("pride").startswith("It is a truth universally acknowledged, that a single man")
    assert passage().startswith("Alice was beginning to get very tired of sitting by her sister")


def test_an_unknown_passage_is_met_with_the_nearest_name():
    with pytest.raises(UnknownName, match="'alice'"):
        passage("alcie")
