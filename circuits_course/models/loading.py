"""`load_model(name)`: the course's own small models, and real language models, ready for hooks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.smollm2 import SMOLLM2, say, smollm2_folder

if TYPE_CHECKING:
    pass

from circuits_course.models.catalogue import REAL, model_names
from circuits_course.models.hub import GPT2, hub_folder, hub_on_disk, hub_problem
from circuits_course.models.shipped import course_model, course_models


def load_model(name: str = "auto", *, checkpoint: int | None = None) -> Any:
    """A model in eval mode, on CUDA if there is one and otherwise on the CPU.

    A course model comes as a `CourseTransformer` whose `facts` hold its recipe, scores and, where
    something was planted, the truth; `checkpoint` is a training step (see `checkpoints`). A real
    model comes as a TransformerLens bridge in compatibility mode; besides those with a name here,
    any that the hub keeps in one safetensors file can be had by its repository ("owner/name").
    "auto" is GPT-2 small if it is on disk or the hub answers, else SmolLM2, and says which; the
    environment variable CIRCUITS_COURSE_MODEL overrides it.

    Raises UnknownName with the nearest names, or CourseError saying what is missing and how to get
    it.
    """
    if name == "auto":
        name = choose_model()
    if name in course_models():
        return course_model(name, checkpoint)
    if name not in REAL and "/" not in name:
        raise UnknownName("model", name, model_names())
    if checkpoint is not None:
        raise CourseError(f"{name} has no checkpoints; only {', '.join(course_models())} have.")
    return _real_model(name)


def choose_model() -> str:
    """The name behind "auto"; prints it and why it is the one."""
    chosen = os.environ.get("CIRCUITS_COURSE_MODEL")
    if chosen and chosen != "auto":
        say(f"Model: {chosen} (CIRCUITS_COURSE_MODEL says so).")
        return chosen
    if hub_on_disk(GPT2):
        say(f"Model: {GPT2} (it is on this disk).")
        return GPT2
    problem = hub_problem()
    if problem is None:
        say(f"Model: {GPT2} (the Hugging Face hub answers).")
        return GPT2
    say(f"Model: {SMOLLM2} ({GPT2} is not on this disk; Hugging Face hub: {problem}).")
    return SMOLLM2


# -- real models -----------------------------------------------------------------------------


def _real_model(name: str) -> Any:
    folder = smollm2_folder() if name == SMOLLM2 else hub_folder(name)
    from circuits_course.models.bridges import bridge_from_folder

    return bridge_from_folder(folder)
