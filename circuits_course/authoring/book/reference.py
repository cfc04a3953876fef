"""The reference: a page for each room of the package, made from what its `__init__.pyi` offers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE = "circuits_course"
OFFER = re.compile(r"^from (\.\S*) import (\w+) as \2$", re.MULTILINE)


def stage_reference(root: Path, place: Path) -> None:
    """Writes a page for every room that says what it offers, and one that lists the rooms."""
    place.mkdir()
    rooms = sorted((root / PACKAGE).glob("*/__init__.pyi"))
    for path in rooms:
        (place / f"{path.parent.name}.rst").write_text(room_page(path), encoding="utf-8")
    names = "".join(f"   {path.parent.name}\n" for path in rooms)
    head = _title("Reference", "=") + "What each room of the package offers to notebooks.\n"
    (place / "index.rst").write_text(f"{head}\n.. toctree::\n\n{names}", encoding="utf-8")


def room_page(stub: Path) -> str:
    """The page of one room, its names grouped by the module that holds them."""
    room = f"{PACKAGE}.{stub.parent.name}"
    module = import_module(room)
    about = inspect.cleandoc(module.__doc__ or "").partition("\n")[0]
    lines = [_title(room, "="), about, "", f".. py:module:: {room}", ""]
    groups: dict[str, list[str]] = {}
    for source, name in OFFER.findall(stub.read_text(encoding="utf-8")):
        groups.setdefault(source, []).append(name)
    for source, names in groups.items():
        said = inspect.cleandoc(import_module(source, room).__doc__ or "").partition("\n")[0]
        lines += [_title(source.lstrip(".").replace("_", " "), "-"), _escaped(said), ""]
        lines += _entries(module, room, names)
    return "\n".join(lines)


def _entries(module: Any, room: str, names: list[str]) -> Iterator[str]:
    for name in names:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            kind = "exception" if issubclass(thing, BaseException) else "class"
            yield f".. auto{kind}:: {room}.{name}\n   :members:\n"
        elif inspect.isroutine(thing):
            yield f".. autofunction:: {room}.{name}\n"
        else:  # what a dict says of itself is no news
            yield f".. py:data:: {name}\n   :type: {type(thing).__name__}\n"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def _escaped(text: str) -> str:
    return re.sub(r"([*_|\\])", r"\\\1", text)
