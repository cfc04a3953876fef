"""The induction walk of the front page: five steps, measured once, drawn when the book is made.

`python -m circuits_course.authoring.book.walk` measures them again in induction-2l and writes
`docs/book/walk.json`; a test holds the file to the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from circuits_course.storage import PACKAGE, write_whole

PROMPT = "pkutbu"  # the last symbol has been seen once before
MODEL = "induction-2l"
DATA = PACKAGE.parent / "docs" / "book" / "walk.json"
DIGITS = 3


def measure(prompt: str = PROMPT) -> dict[str, Any]:
    """What the model does at the end of a prompt whose last symbol stood there once before.

    Returns the tokens; the position `earlier` of the last symbol's first copy and `found`, the one
    after it; the strongest previous-token and induction head; their attention at this prompt; and
    the probability of the right token in the whole model and without either head (zero ablation).
    """
    import torch

    from circuits_course.circuits import head_name
    from circuits_course.models import load_model

    with torch.no_grad():
        model = load_model(MODEL)
        tokens = model.to_tokens(prompt)
        earlier = int((tokens[0, :-1] == tokens[0, -1]).nonzero()[0])
        before, after = _heads(model)
        _, cache = model.run_with_cache(tokens)
        patterns = [cache["pattern", layer][0, head] for layer, head in (before, after)]
        return {
            "model": MODEL,
            "tokens": list(model.to_str_tokens(tokens[0])),
            "earlier": earlier,
            "found": earlier + 1,
            "heads": [head_name(before), head_name(after)],
            "attention": [
                _short(patterns[0][earlier + 1, earlier]),
                _short(patterns[1][-1, earlier + 1]),
            ],
            "probability": [
                _short(_probability(model, tokens, out, tokens[0, earlier + 1]))
                for out in ([], [before], [after])
            ],
        }


def _heads(model: Any) -> tuple[Any, Any]:
    """The strongest previous-token head and induction head, on random tokens shown twice."""
    import torch

    from circuits_course.circuits import head_scores, strongest_heads

    period = 20
    copy = torch.randint(1, model.cfg.d_vocab, (16, period), generator=torch.manual_seed(0))
    tokens = torch.cat([torch.zeros(16, 1, dtype=copy.dtype), copy, copy], 1)

    def back(pattern: Any, places: int) -> Any:
        return pattern[..., 1:, 1:].diagonal(-places, -2, -1).mean(-1)

    previous = head_scores(model, tokens, lambda pattern: back(pattern, 1))
    induction = head_scores(model, tokens, lambda pattern: back(pattern, period - 1))
    return strongest_heads(previous, 1)[0], strongest_heads(induction, 1)[0]


def _probability(model: Any, tokens: Any, out: list[Any], answer: Any) -> Any:
    from circuits_course.circuits import knock_out_hooks

    logits = model.run_with_hooks(tokens, fwd_hooks=knock_out_hooks(out, "zero"))
    return logits[0, -1].softmax(-1)[answer]


def _short(value: Any) -> float:
    return round(float(value), DIGITS)


def load() -> dict[str, Any]:
    """The measured walk, as it is shipped."""
    return json.loads(DATA.read_text(encoding="utf-8"))


def write(path: Path = DATA) -> None:
    """Measures the walk and writes it."""
    write_whole(path, (json.dumps(measure(), indent=1) + "\n").encode())


if __name__ == "__main__":
    write()
