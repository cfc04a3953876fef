"""Facts of one form: "The capital of France is" goes on with " Paris"."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.ioi import single_token_words, word_token
from circuits_course.errors import CourseError

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Germany": "Berlin", "Spain": "Madrid",
    "Russia": "Moscow", "China": "Beijing", "Egypt": "Cairo", "Greece": "Athens",
    "England": "London",
    "Portugal": "Lisbon", "Austria": "Vienna", "Ireland": "Dublin", "Sweden": "Stockholm",
    "Poland": "Warsaw", "Cuba": "Havana", "Norway": "Oslo", "Peru": "Lima", "Hungary": "Budapest",
    "Finland": "Helsinki", "Kenya": "Nairobi", "Iraq": "Baghdad", "Iran": "Tehran",
    "Canada": "Ottawa", "Turkey": "Ankara", "Syria": "Damascus", "Chile": "Santiago",
    "Belgium": "Brussels", "Denmark": "Copenhagen", "Scotland": "Edinburgh",
}  # fmt: skip
FEWEST = 4


@dataclass(frozen=True)
class CapitalPrompts:
    """Prompts of equal length with their answers: tokens [batch, pos], answers [batch]."""

    countries: tuple[str, ...]
    tokens: Int[Tensor, "batch pos"]
    answers: Int[Tensor, " batch"]


def capital_prompts(model: Any, template: str = "The capital of {country} is") -> CapitalPrompts:
    """A prompt for every country whose capital the model knows.

    template: with {country}. Kept are the prompts of the commonest length whose answer is one token
    and on top of what the model says; where it knows fewer than four, all of that length. Raises
    CourseError for a template without {country}.
    """
    if "{country}" not in template:
        raise CourseError(f"A template needs {{country}}, which {template!r} lacks.")
    cities = set(single_token_words(model, list(CAPITALS.values())))
    named = [country for country, city in CAPITALS.items() if city in cities]
    texts = [model.to_tokens(template.format(country=country)) for country in named]
    lengths = [text.shape[1] for text in texts]
    common = Counter(lengths).most_common(1)[0][0]
    kept = [i for i, length in enumerate(lengths) if length == common]
    tokens = torch.cat([texts[i] for i in kept])
    answers = torch.tensor([word_token(model, CAPITALS[named[i]]) for i in kept])
    with torch.no_grad():
        known = (model(tokens)[:, -1].argmax(-1).cpu() == answers).nonzero()[:, 0]
    rows = known if len(known) >= FEWEST else torch.arange(len(kept))
    countries = tuple(named[kept[row]] for row in rows.tolist())
    return CapitalPrompts(countries, tokens[rows], answers[rows])
