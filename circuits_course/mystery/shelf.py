"""The mysteries at hand: those that ship, and those made on this machine."""

from __future__ import annotations

from pathlib import Path

from circuits_course.errors import CourseError, UnknownName
from circuits_course.mystery.sealing import (
    Mystery,
    read_mystery,
)
from circuits_course.storage import data_dir

FILES = ".safetensors"
SHELF = Path(__file__).parent / "sealed"


def own_shelf() -> Path:
    """Where mysteries made on this machine are kept."""
    return data_dir() / "mysteries"


def mystery_paths() -> dict[str, Path]:
    """Name -> file: those that ship with the course, from easy to hard, then one's own."""
    own = sorted(own_shelf().glob("seed-*.safetensors"), key=lambda p: (len(p.stem), p.stem))
    return {path.stem: path for path in [*sorted(SHELF.glob("*.safetensors")), *own]}


def load_mystery(name: str) -> Mystery:
    """A mystery by name ("agate", "seed-7"), or from a file ("exam-3fa2c1.safetensors").

    Raises UnknownName with the nearest names, CourseError where there is no such file.
    """
    if str(name).endswith(FILES):
        if not Path(name).is_file():
            raise CourseError(f"There is no file {name}.")
        return read_mystery(Path(name))
    paths = mystery_paths()
    if name not in paths:
        raise UnknownName("mystery", name, paths)
    return read_mystery(paths[name])
