"""The models that ship with the course: their weights, and what is known of them.

What is known can be read without torch, which takes seconds to import.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.bridges import device
from circuits_course.storage import file_hash

if TYPE_CHECKING:
    from torch import Tensor

    from circuits_course.models.config import CourseConfig
    from circuits_course.models.transformer import CourseTransformer


def model_with(config: CourseConfig, weights: dict[str, Tensor]) -> CourseTransformer:
    """A model of that shape with those weights, as float32."""
    import torch

    from circuits_course.models.transformer import CourseTransformer

    model = CourseTransformer.blank(replace(config))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(weights[key])
    return model


def load_weights(path: Path, facts: dict[str, Any], step: int) -> CourseTransformer:
    """A course model at one of its checkpoints; `facts` is the JSON beside the weights."""
    from safetensors import safe_open

    from circuits_course.models.config import CourseConfig

    prefix = f"{step}/"
    with safe_open(path, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        weights = {key.removeprefix(prefix): file.get_tensor(key) for key in keys}
    config = CourseConfig(**{**facts["config"], "model_name": facts["name"]})
    model = model_with(config, weights)
    model.facts = facts
    return model


WEIGHTS = Path(__file__).parent / "weights"


def course_models() -> list[str]:
    """Names of the models that ship with the course."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


# -- course models ---------------------------------------------------------------------------


def facts(name: str) -> dict[str, Any]:
    """What is known of a shipped model: recipe, checkpoints, losses, scores, planted truth."""
    if name not in course_models():
        raise UnknownName("course model", name, course_models())
    return json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))


def checkpoints(name: str) -> list[int]:
    """The training steps at which a course model was kept; the last is the final model."""
    return facts(name)["checkpoints"]


def course_model(name: str, checkpoint: int | None) -> CourseTransformer:
    known = facts(name)
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file() or file_hash(path) != known["sha256"]:
        raise CourseError(
            f"The weights of {name} in {path} are missing or not the ones that shipped; install "
            f"the course again, or run `circuits-course train {name} --out {WEIGHTS}`."
        )
    step = known["checkpoints"][-1] if checkpoint is None else checkpoint
    if step not in known["checkpoints"]:
        raise UnknownName(f"checkpoint of {name}", step, map(str, known["checkpoints"]))
    return load_weights(path, known, step).to(device())
