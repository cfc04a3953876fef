"""Sealed files: a model anybody may open, and a key that an honest reader does not see.

The key lies in the file's metadata, compressed and encoded, so that no search, listing or preview
shows it. That is a courtesy, no lock: `open_seal` is one call away for whoever wants to be spoiled.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuits_course.errors import CourseError
from circuits_course.models.config import CourseConfig
from circuits_course.models.shipped import model_with
from circuits_course.models.transformer import CourseTransformer
from circuits_course.mystery.inputs import KINDS, MysteryInputs
from circuits_course.mystery.planting import Planted
from circuits_course.storage import masked, write_whole

SEAL_BYTES = 512  # all seals are equally long, so that their length says nothing
SIZES = ("n_layers", "n_heads", "d_model", "d_head", "d_vocab", "n_ctx")


@dataclass(frozen=True)
class Mystery:
    """A model with a planted circuit, and inputs that it was made for.

    seal: the key; "" in an exam, which says of its key no more than its inputs.
    """

    name: str
    model: CourseTransformer
    seal: str = field(repr=False)
    inputs: MysteryInputs | None = field(default=None, repr=False)

    def sample(self, batch: int, seed: int) -> Int[Tensor, "batch pos"]:
        """Fresh inputs, BOS first; the same seed gives the same ones."""
        inputs = self.inputs or open_seal(self).inputs
        return inputs.sample(batch, torch.Generator().manual_seed(seed))

    def __repr__(self) -> str:
        cfg = self.model.cfg
        symbols = "".join(cfg.vocabulary[1:])
        return (
            f"Mystery({self.name!r}: {cfg.n_layers} layers of {cfg.n_heads} heads, "
            f"{cfg.n_ctx} positions, symbols {symbols})"
        )


def open_seal(mystery: Mystery) -> Planted:
    """The key of a mystery. Look only if you have given up on it, or made it.

    Raises CourseError for an exam, whose key is with whoever made it, and for a damaged seal.
    """
    if not mystery.seal:
        raise CourseError(f"{mystery.name} is an exam: its key is with whoever made it.")
    return _decoded(mystery.seal)


def keyless(mystery: Mystery) -> Mystery:
    """The same mystery without its key, for an exam."""
    return replace(mystery, seal="", inputs=open_seal(mystery).inputs)


def sealed(key: Planted) -> str:
    """A key as text that tells a reader nothing."""
    content = asdict(key) | {"kind": type(key.inputs).__name__}
    packed = zlib.compress(json.dumps(content).encode(), 9).ljust(SEAL_BYTES, b"\0")
    return base64.b85encode(masked(packed)).decode()


def _decoded(seal: str) -> Planted:
    try:
        content = json.loads(zlib.decompressobj().decompress(masked(base64.b85decode(seal))))
        inputs = _inputs(content.pop("kind"), content.pop("inputs"))
        return Planted(**_restored(content), inputs=inputs)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise CourseError(
            "The seal of this mystery is damaged: make it again with `circuits-course mystery new`."
        ) from error


def _inputs(kind: str, values: dict[str, Any]) -> MysteryInputs:
    return KINDS[kind](**_tuples(values))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _restored(content: dict[str, Any]) -> dict[str, Any]:
    """Pairs and triples as tuples again, which JSON has turned into lists."""
    heads = {role: [tuple(head) for head in heads] for role, heads in content["heads"].items()}
    edges = [(tuple(a), b if isinstance(b, str) else tuple(b)) for a, b in content["edges"]]
    decoys = [tuple(head) for head in content["decoys"]]
    return {**content, "heads": heads, "edges": edges, "decoys": decoys}


# --- files ------------------------------------------------------------------------------------


def rounded(model: CourseTransformer) -> CourseTransformer:
    """The model with the weights that a file keeps, which are float16."""
    weights = {name: weight.detach().half() for name, weight in model.named_parameters()}
    return model_with(model.cfg, weights).requires_grad_(False)


def write_mystery(mystery: Mystery, path: Path) -> None:
    """One safetensors file, whole or not at all."""
    from safetensors.torch import save

    cfg = mystery.model.cfg
    config = {size: getattr(cfg, size) for size in SIZES} | {"vocabulary": cfg.vocabulary}
    weights = {name: weight.half() for name, weight in mystery.model.named_parameters()}
    key: dict[str, Any] = {"seal": mystery.seal}
    if mystery.inputs is not None:
        key = {"kind": type(mystery.inputs).__name__, "inputs": asdict(mystery.inputs)}
    about = json.dumps({"config": config, **key})
    # One entry, because safetensors writes several in any order.
    write_whole(path, save(weights, metadata={"mystery": about}))


def read_mystery(path: Path) -> Mystery:
    """A mystery from its file. Raises CourseError where it is no such file or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["mystery"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = CourseConfig(**about["config"], model_name=path.stem)
        model = model_with(config, weights).requires_grad_(False)
        if "seal" in about:
            return Mystery(path.stem, model, about["seal"])
        return Mystery(path.stem, model, "", _inputs(about["kind"], about["inputs"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"{path.name} is damaged or no mystery: delete it and make it again."
        ) from error
