"""`load_model(name)`: the course's own small models, and real language models, ready for hooks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.catalogue import REAL, model_names
from circuits_course.models.hub import hub_folder
from circuits_course.models.shipped import course_model, course_models
from circuits_course.models.smollm2 import SMOLLM2, say, smollm2_folder


def load_model(name: str = "auto", *, checkpoint: int | None = None) -> Any:
    """A model in eval mode, on CUDA if there is one and otherwise on the CPU.

    A course model comes as a `CourseTransformer` whose `facts` hold its recipe, scores and, where
    something was planted, the truth; `checkpoint` is a training step (see `checkpoints`). A real
    model comes as a TransformerLens bridge in compatibility mode; besides those with a name here,
    any that the hub keeps in one safetensors file can be had by its repository ("owner/name").
    "auto" is SmolLM2, on every machine; the environment variable CIRCUITS_COURSE_MODEL overrides
    it, with any of these names or a folder that `save_pretrained` wrote.

    Raises UnknownName with the nearest names, or CourseError saying what is missing and how to get
    it.
    """
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(name, str):
        raise CourseError(f"load_model takes a name as text; got {name!r}.")
    if name == "auto":
        name = choose_model()
    if name in course_models():
        return course_model(name, checkpoint)
    if not (name in REAL or is_model_folder(name) or is_repository(name)):
        raise UnknownName("model", name, model_names())
    if checkpoint is not None:
        raise CourseError(f"{name} has no checkpoints; only {', '.join(course_models())} have.")
    return _real_model(name)


def choose_model() -> str:
    """The name behind "auto": the model that every chapter was run and tested with."""
    chosen = os.environ.get("CIRCUITS_COURSE_MODEL")
    if chosen and chosen != "auto":
        say(f"Model: {chosen} (CIRCUITS_COURSE_MODEL says so).")
        return chosen
    return SMOLLM2


def _real_model(name: str) -> Any:
    from circuits_course.models.bridges import bridge_from_folder

    if name == SMOLLM2:
        return bridge_from_folder(smollm2_folder())
    folder = Path(name) if is_model_folder(name) else hub_folder(name)
    try:
        return bridge_from_folder(folder)
    except Exception as error:  # files of somebody else, read by three libraries
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CourseError(f"{name} holds no model that can be loaded: {reason[0]}") from error


def is_model_folder(name: str) -> bool:
    """Whether a name is that of a folder that `save_pretrained` wrote."""
    try:
        return bool(name) and (Path(name) / "config.json").is_file()
    except (OSError, ValueError):  # longer than a name may be, or holding what none may
        return False


def is_repository(name: str) -> bool:
    """Whether a name can be that of a repository on the hub: "owner/name"."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1
