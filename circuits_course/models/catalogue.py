"""Every model by name: whether it is on disk, where, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from circuits_course.errors import UnknownName
from circuits_course.models.hub import HUB, hub_on_disk, repositories
from circuits_course.models.shipped import WEIGHTS, course_models, facts
from circuits_course.models.smollm2 import KEPT, SMOLLM2, smollm2_on_disk
from circuits_course.storage import cache_dir, own_fallback

REAL = {
    SMOLLM2: "SmolLM2-135M-Instruct, 30 layers, from the package index (93 MB, once)",
    **{name: model.summary for name, model in HUB.items()},
}


def model_names() -> list[str]:
    """Every name that `load_model` knows."""
    return ["auto", *course_models(), *REAL]


def real_models_at_hand() -> list[str]:
    """The real models that are on this disk."""
    return [name for name in REAL if real_on_disk(name)]


def real_on_disk(name: str) -> bool:
    return smollm2_on_disk() is not None if name == SMOLLM2 else hub_on_disk(name) is not None


# -- what is where ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelRow:
    """One line of `circuits-course models`; `bytes` is 0 where nothing is on disk."""

    name: str
    on_disk: bool
    where: Path
    bytes: int
    summary: str


def list_models() -> list[ModelRow]:
    """Every model: whether it is on disk, where it is or would be, and how large it is."""
    course = [
        _row(name, WEIGHTS / f"{name}.safetensors", facts(name)["summary"])
        for name in course_models()
    ]
    return [*course, *(_row(name, model_path(name), summary) for name, summary in REAL.items())]


def model_path(name: str) -> Path:
    """Where a model is, or would be kept."""
    if name in course_models():
        return WEIGHTS / f"{name}.safetensors"
    if name == SMOLLM2:
        roots = [cache_dir() / "models", *(own for own in [own_fallback()] if own)]
        places = [root / kept for root in roots for kept in (KEPT, SMOLLM2)]
        return next((place for place in places if place.is_dir()), places[0])
    if name in HUB:
        from huggingface_hub import constants

        where = f"models--{repositories(name)[0].replace('/', '--')}"
        return hub_on_disk(name) or Path(constants.HF_HUB_CACHE) / where
    raise UnknownName("model", name, model_names())


def _row(name: str, where: Path, summary: str) -> ModelRow:
    files = [where] if where.is_file() else [f for f in where.glob("*") if f.is_file()]
    on_disk = hub_on_disk(name) is not None if name in HUB else bool(files)
    size = sum(file.stat().st_size for file in files) if on_disk else 0
    return ModelRow(name, on_disk, where, size, summary)
