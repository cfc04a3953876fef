"""Models of the Hugging Face hub: found on the disk, fetched, or a clear word why not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from circuits_course.errors import CourseError
from circuits_course.models.installer import patience
from circuits_course.models.smollm2 import SMOLLM2, say

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


def repositories(name: str) -> tuple[str, ...]:
    """The repositories of a model of the hub: by its name here, or by theirs."""
    return HUB[name].repos if name in HUB else (name,)


def hub_on_disk(name: str) -> Path | None:
    """The folder of a model of the hub in the Hugging Face cache, if all of it is there."""
    from huggingface_hub import try_to_load_from_cache

    for repo in repositories(name):
        paths = [try_to_load_from_cache(repo, file) for file in HUB_FILES]
        if all(isinstance(path, str) for path in paths):
            return Path(cast(str, paths[0])).parent
    return None


def hub_folder(name: str) -> Path:
    """The folder of a model of the hub, fetched if it is not on disk."""
    if folder := hub_on_disk(name):
        return folder
    repo = repositories(name)[0]
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

    url = f"{endpoint}/{repositories(GPT2)[0]}/resolve/main/config.json"
    try:
        with urlopen(Request(url, method="HEAD"), timeout=patience()):
            return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
