"""Verdicts: a sentence together with the figure that decides whether it holds."""

from __future__ import annotations

import os
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.page.messages import show


class DoesNotHold(CourseError):
    """Strict mode: a sentence of a chapter does not hold."""


def verdict(sentence: str, ok: Any, detail: str = "", *, model: Any = None) -> None:
    """Shows a sentence, whether it holds, and the figure that says so.

    ok: anything with a truth value. detail: the figure, such as "largest difference 2e-06". model:
    for sentences on named heads, the model that the figure comes from; they were measured on
    SmolLM2-135M-Instruct, and with any other model the sentence is not put to the test.

    With CIRCUITS_COURSE_STRICT=1 a sentence that does not hold raises DoesNotHold.
    """
    figure = f" ({detail})" if detail else ""
    if model is not None and not is_measured_model(model):
        show(
            f"○ Measured on SmolLM2: {sentence}. For the model loaded here read it off your own "
            f"table{figure}.",
            tone="open",
        )
        return
    holds = bool(ok)
    if not holds and os.environ.get("CIRCUITS_COURSE_STRICT") == "1":
        raise DoesNotHold(f"This does not hold: {sentence}{figure}.")
    word, tone = ("✔ Holds", "good") if holds else ("✘ Does not hold", "bad")
    show(f"{word}: {sentence}{figure}.", tone=tone)


def is_measured_model(model: Any) -> bool:
    """Whether a model is the one that the chapters were measured with, SmolLM2-135M-Instruct."""
    cfg = model.cfg
    shape = getattr(cfg, "n_layers", 0), getattr(cfg, "n_heads", 0), getattr(cfg, "d_model", 0)
    return shape == (30, 9, 576)
