"""What crosses between processes: JSON, and tensors as safetensors. Never code, never pickle.

A value is taken apart in the learner's process (`pack`) and put together in the judge's
(`unpack`) from a short list of forms. Whatever is none of them arrives as an `Opaque`: its type's
name and how it was shown. So no method of a learner's class ever runs in the judge.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import struct
import threading
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

Tensors = dict[str, Tensor]

LARGEST_TEXT = 8_000_000  # bytes of a message's JSON
LARGEST_BLOB = 64_000_000  # bytes of its tensors
MOST_PARTS = 50_000  # of one value
DEEPEST = 24
_LENGTHS = struct.Struct(">II")
_KNOWN = {
    "circuits_course.circuits.basis": ("HeadWeights",),
    "circuits_course.circuits.behaviours": ("Place",),
    "circuits_course.circuits.composition": ("CutPath", "HeadCircuits"),
    "circuits_course.circuits.discovery.graph": ("Edge",),
    "circuits_course.circuits.heads": ("InductionTrace",),
    "circuits_course.circuits.lens": ("TunedLens",),
    "circuits_course.mystery.claims": ("Claim",),
    "transformer_lens.FactoredMatrix": ("FactoredMatrix",),
}
"""The classes that answers return and the judge builds again, by module."""


class Nonsense(ValueError):
    """What arrived is not in the form agreed on."""


class TooLarge(ValueError):
    """A value that is too large to be handed over."""


def clean(text: Any, longest: int = 100_000) -> str:
    """A text that can be written anywhere: lone surrogates replaced, and not endless."""
    return str(text)[:longest].encode("utf-8", "replace").decode("utf-8")


# --- messages ---------------------------------------------------------------------------------


def send(stream: BinaryIO, message: dict[str, Any], tensors: Tensors | None = None) -> None:
    """Writes one message. Raises OSError where nobody listens, TooLarge."""
    text = json.dumps(message).encode()
    blob = save(tensors) if tensors else b""
    if len(text) > LARGEST_TEXT or len(blob) > LARGEST_BLOB:
        raise TooLarge("the result is too large to be handed over")
    stream.write(_LENGTHS.pack(len(text), len(blob)) + text + blob)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], Tensors]:
    """Reads one message. Raises EOFError at the end, Nonsense for what is none."""
    sizes = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if sizes[0] > LARGEST_TEXT or sizes[1] > LARGEST_BLOB:
        raise Nonsense("a message that is too long")
    text, blob = (_exactly(stream, size) for size in sizes)
    try:
        message = json.loads(text)
        tensors = load(blob) if blob else {}
    except Exception as error:  # JSON's, its recursion's, safetensors' own
        raise Nonsense(str(error)) from None
    if not isinstance(message, dict):
        raise Nonsense("not an object")
    return message, tensors


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) < size:
        raise EOFError
    return data


class Listener:
    """Reads a stream in a thread of its own, so that waiting for it can end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._heard: queue.Queue[Any] = queue.Queue(maxsize=2)
        self._stream = stream
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                heard: Any = receive(self._stream)
            except (EOFError, OSError, ValueError) as error:
                heard = error if isinstance(error, Nonsense) else EOFError()
            self._heard.put(heard)
            if isinstance(heard, Exception):
                return

    def next(self, seconds: float) -> tuple[dict[str, Any], Tensors]:
        """The next message. Raises TimeoutError, EOFError or Nonsense."""
        try:
            heard = self._heard.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(heard, Exception):
            raise heard
        return heard


# --- values, taken apart ----------------------------------------------------------------------


class Packer:
    """Takes values apart. tensors: those met so far. functions: likewise, by number."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.functions: list[Callable[..., Any]] = []
        self._parts = 0

    def pack(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON. Raises TooLarge."""
        self._parts += 1
        if self._parts > MOST_PARTS or depth > DEEPEST:
            raise TooLarge("the result is too large to be handed over")
        plain = _plain(value)
        if plain is not None or value is None:
            return plain
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value)
        return self._whole(value, depth + 1)

    def _whole(self, value: Any, depth: int) -> Any:
        made = _made(value)
        if made is not None:
            name, kind, fields = made
            packed = [[key, self.pack(item, depth)] for key, item in fields.items()]
            return {"made": name, "kind": kind, "fields": packed}
        if isinstance(value, Mapping):
            return {"dict": [[self.pack(k, depth), self.pack(v, depth)] for k, v in value.items()]}
        for name, types in _CONTAINERS:
            if isinstance(value, types):
                return {name: [self.pack(item, depth) for item in value]}
        if callable(value) and not isinstance(value, type | torch.nn.Module):
            self.functions.append(value)
            return {"function": len(self.functions) - 1, "name": _name(value)}
        return _opaque(value)

    def _tensor(self, value: Tensor) -> Any:
        if value.layout is not torch.strided or value.is_meta or value.is_quantized:
            return {"opaque": "Tensor that is sparse or empty-handed", "shown": "", "sized": False}
        if value.numel() * value.element_size() > LARGEST_BLOB:
            raise TooLarge("the result is too large to be handed over")
        plain = value.detach().as_subclass(Tensor).cpu()
        is_complex = plain.is_complex()
        plain = torch.view_as_real(plain.resolve_conj()) if is_complex else plain
        key = str(len(self.tensors))
        self.tensors[key] = plain.clone(memory_format=torch.contiguous_format)
        return {"tensor": key, "grad": value.requires_grad, "complex": is_complex}

    def _array(self, value: Any) -> Any:
        try:
            packed = self._tensor(torch.from_numpy(np.array(value)))
        except TypeError:  # of strings, of objects
            return _opaque(value)
        return {"array": packed, "scalar": isinstance(value, np.generic)}


_CONTAINERS: tuple[tuple[str, Any], ...] = (
    ("tuple", tuple), ("list", list | range), ("set", set), ("frozenset", frozenset),
)  # fmt: skip


def _plain(value: Any) -> Any:
    """A value that JSON holds as it is; numpy's numbers are floats, and are not plain."""
    if isinstance(value, np.generic):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)[:LARGEST_TEXT]
    if isinstance(value, int) and abs(value) < 1 << 63:
        return int(value)
    return float(value) if isinstance(value, float) else None


def _made(value: Any) -> tuple[str, str, dict[str, Any]] | None:
    """Name, kind and fields of a named tuple, a dataclass, or one of the course's classes."""
    cls, name = type(value), type(value).__name__
    if cls.__module__ == "transformer_lens.FactoredMatrix" and name == "FactoredMatrix":
        return f"{cls.__module__}:{name}", "class", {"A": value.A, "B": value.B}
    full = f"{cls.__module__}:{cls.__qualname__}"
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return full, "tuple", dict(zip(cls._fields, value, strict=False))
    if dataclasses.is_dataclass(cls):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return full, "dataclass", fields
    return None


def _opaque(value: Any) -> dict[str, Any]:
    try:
        shown = repr(value)[:200]
    except Exception:
        shown = "something that cannot be shown"
    return {"opaque": type(value).__name__, "shown": shown, "sized": hasattr(value, "__len__")}


def _name(value: Any) -> str:
    return str(getattr(value, "__name__", type(value).__name__))[:200]


# --- and put together -------------------------------------------------------------------------


class Opaque:
    """Stands for a value of a type that does not cross; its class bears that type's name."""

    _shown = ""

    def __repr__(self) -> str:
        return self._shown


class Unpacker:
    """Puts values together. function: makes a callable of a number and a name."""

    def __init__(self, tensors: Tensors, function: Callable[[int, str], Any] | None = None) -> None:
        self.tensors, self.function = tensors, function

    def unpack(self, packed: Any, depth: int = 0) -> Any:
        """The value. Raises Nonsense where that is not in the form that `Packer` gives."""
        if depth > 2 * DEEPEST:
            raise Nonsense("too deep")
        if packed is None or isinstance(packed, bool | int | float):
            return packed
        if isinstance(packed, str):
            return clean(packed, LARGEST_TEXT)
        try:
            return self._whole(packed, depth + 1)
        except Nonsense:
            raise
        except Exception as error:  # whatever the parts, they do not fit together
            raise Nonsense(f"{type(error).__name__}: {error}") from None

    def _whole(self, packed: dict[str, Any], depth: int) -> Any:
        form = next(iter(packed))
        content = packed[form]
        if form == "tensor":
            return self._tensor(packed)
        if form == "array":
            array = self._tensor(content).numpy()
            return array[()] if packed["scalar"] else array
        if form == "dict":
            return {self.unpack(k, depth): self.unpack(v, depth) for k, v in content}
        if form in _BUILDERS:
            return _BUILDERS[form]([self.unpack(item, depth) for item in content])
        if form == "made":
            fields = {str(k): self.unpack(v, depth) for k, v in packed["fields"]}
            return _build(str(content), str(packed["kind"]), fields)
        if form == "function" and self.function is not None:
            return self.function(int(content), str(packed["name"]))
        return _opaque_class(str(content), bool(packed.get("sized")), packed.get("shown", ""))

    def _tensor(self, packed: dict[str, Any]) -> Tensor:
        tensor = self.tensors[packed["tensor"]]
        if packed["complex"]:
            tensor = torch.view_as_complex(tensor)
        wants = packed["grad"] and (tensor.is_floating_point() or tensor.is_complex())
        return tensor.requires_grad_(True) if wants else tensor


_BUILDERS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "tuple": tuple, "list": list, "set": set, "frozenset": frozenset,
}  # fmt: skip


def _build(name: str, kind: str, fields: dict[str, Any]) -> Any:
    module, _, cls = name.partition(":")
    if cls in _KNOWN.get(module, ()):
        return getattr(import_module(module), cls)(**fields)
    if kind == "tuple":
        return namedtuple("Made", list(fields), rename=True)(*fields.values())
    if kind == "dataclass":
        return dataclasses.make_dataclass("Made", list(fields))(**fields)
    raise Nonsense(f"there is no class {name}")


def _opaque_class(name: str, sized: bool, shown: Any) -> Opaque:
    body: dict[str, Any] = {"_shown": clean(shown, 200)}
    if sized:
        body["__len__"] = lambda _self: 0
    return type(clean(name, 100).replace("\0", "") or "object", (Opaque,), body)()
