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


def measure() -> list[dict[str, Any]]:
    """The five steps as `circuits.walk_induction` measures them: whole, and with the wire cut."""
    from circuits_course.circuits import walk_induction
    from circuits_course.models import load_model

    return walk_induction(load_model(MODEL), PROMPT)


def load() -> list[dict[str, Any]]:
    """The measured walk, as it is shipped."""
    return json.loads(DATA.read_text(encoding="utf-8"))


def write(path: Path = DATA) -> None:
    """Measures the walk and writes it."""
    write_whole(path, (json.dumps(measure(), indent=1) + "\n").encode())


if __name__ == "__main__":
    write()
