"""A mystery for an exam: the key stays with the teacher, and claims are handed in as files.

Learners get a model without its key, made from a seed of 128 random bits that nobody keeps. A claim
is written down as data, never as code, so that grading it runs nothing of a learner's; its
predictions are left out, since whoever has the model could copy them from it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from circuits_course.errors import CourseError
from circuits_course.mystery.claims import Claim
from circuits_course.mystery.making import TRIES, flaw, make_hiding, make_mystery
from circuits_course.mystery.sealing import Mystery, keyless, read_mystery, write_mystery
from circuits_course.storage import require_writable, write_whole

CLAIM_BYTES = 100_000  # of a file that is read at all
KEY_SUFFIX = ".key"
_PARTS = ("mystery", "heads", "edges", "algorithm")


def new_exam(folder: Path, *, hiding: bool = False) -> tuple[Path, Path]:
    """A fresh mystery for an exam, verified: the learners' file, and the teacher's with the key.

    hiding: with a circuit that hides from simple methods. Takes seconds. Raises CourseError where
    nothing can be written to the folder.
    """
    require_writable(folder)
    name = f"exam-{secrets.token_hex(3)}"
    mystery = _drawn(name, make_hiding if hiding else make_mystery)
    paths = folder / f"{name}.safetensors", folder / f"{name}{KEY_SUFFIX}"
    write_mystery(keyless(mystery), paths[0])
    write_mystery(mystery, paths[1])
    paths[1].chmod(0o600)
    return paths


def _drawn(name: str, make: Callable[[str, int], Mystery]) -> Mystery:
    for _ in range(TRIES):
        mystery = make(name, secrets.randbits(128))
        if flaw(mystery) is None:
            return mystery
    raise CourseError("No mystery came out right; try again.")


def read_key(path: Path) -> Mystery:
    """An exam's mystery with its key. Raises CourseError where the file is none."""
    mystery = read_mystery(path)
    if not mystery.seal:
        raise CourseError(f"{path} is the learners' file; the key is in {path.stem}{KEY_SUFFIX}.")
    return mystery


def hand_in(claim: Claim, path: str | Path) -> Path:
    """Writes a claim to the file that a learner hands in, and returns its path.

    Predictions are not part of it. Raises CourseError where the file cannot be written.
    """
    if not isinstance(claim, Claim):
        raise CourseError(f"hand_in takes a Claim, got a {type(claim).__name__}.")
    path = Path(path)
    content = {part: getattr(claim, part) for part in _PARTS}
    try:
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def read_claim(path: Path) -> Claim:
    """A claim from the file that was handed in; nothing in it is run.

    Raises CourseError where it is no claim.
    """
    try:
        if path.stat().st_size > CLAIM_BYTES:
            raise CourseError(f"{path.name} is larger than any claim.")
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CourseError(f"{path.name} is no claim that hand_in wrote.") from error
    if not isinstance(content, dict) or set(content) - set(_PARTS):
        raise CourseError(f"{path.name} is no claim that hand_in wrote.")
    return Claim(**{"mystery": "", **content})
