"""Five prompts of five kinds, each with the word that should come next."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.data.ioi import word_token
from circuits_course.data.sequences import bos_token

TEXTS = {
    "fact": ("The capital of France is", "Paris"),
    "phrase": ("Once upon a", "time"),
    "grammar": ("The boys lost their keys, and the girl lost", "her"),
    "IOI": ("When Mary and John went to the store, John gave a drink to", "Mary"),
}


def five_prompts(model: Any, seed: int = 0) -> dict[str, tuple[Int[Tensor, "1 pos"], int]]:
    """{kind: (tokens, the answer's token)}: the texts of `TEXTS`, and "repeated".

    That last one is twelve random tokens said twice, all but the very last, which is the answer:
    only a look at the first copy tells it.
    """
    drawn = torch.randint(1000, 5000, (1, 12), generator=torch.Generator().manual_seed(seed))
    bos = torch.full((1, 1), bos_token(model))
    prompts = {
        kind: (model.to_tokens(text), word_token(model, answer))
        for kind, (text, answer) in TEXTS.items()
    }
    return prompts | {"repeated": (torch.cat([bos, drawn, drawn[:, :-1]], 1), int(drawn[0, -1]))}
