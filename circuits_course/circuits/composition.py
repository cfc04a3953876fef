"""How heads of different layers work together: through queries, keys or values.

Row vectors throughout, as in TransformerLens: a head reads x and writes x @ OV, and the score of a
query vector x against a key vector y is x @ QK @ y.T. What a lower head writes into a higher one is
therefore `OV @ QK` (queries), `OV @ QK.T` (keys), `OV @ OV` (values), lower head on the left. The
paper (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits") has column vectors
and the higher head on the left; norms are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.circuits.basis import HeadWeights
from circuits_course.circuits.heads import head_name
from circuits_course.errors import CourseError, UnknownName

Kind = Literal["Q", "K", "V"]


class HeadCircuits(HeadWeights):
    """The four matrices of a head and the two circuits they form, both kept as factors."""

    __slots__ = ()

    @property
    def QK(self) -> FactoredMatrix:
        """[d_model, d_model]: row = query side, column = key side; not scaled."""
        return FactoredMatrix(self.W_Q, self.W_K.mT)

    @property
    def OV(self) -> FactoredMatrix:
        """[d_model, d_model]: row = what is read at the source, column = what is written."""
        return FactoredMatrix(self.W_V, self.W_O)


class CutPath(NamedTuple):
    """A run in which one path between two heads was cut.

    pattern: attention of the target head, [batch, q, k]; logits: [batch, pos, d_vocab].
    """

    pattern: Float[Tensor, "batch q k"]
    logits: Float[Tensor, "batch pos d_vocab"]


def head_circuits(model: Any, layer: int, head: int) -> HeadCircuits:
    """One head of a model. Query heads that share keys and values each get a view of them.

    Rotary positions are no part of the weights: QK is then that of a key at the query's position.
    Raises CourseError for a head that the model does not have.
    """
    if not (0 <= layer < model.cfg.n_layers and 0 <= head < model.cfg.n_heads):
        raise CourseError(
            f"There is no head {layer}.{head}: this model has {model.cfg.n_layers} layers of "
            f"{model.cfg.n_heads} heads."
        )
    attn = model.blocks[layer].attn
    shared = head // (model.cfg.n_heads // attn.W_K.shape[0])
    return HeadCircuits(attn.W_Q[head], attn.W_K[shared], attn.W_V[shared], attn.W_O[head])


# --- weights ----------------------------------------------------------------------------------


@torch.no_grad()
def all_composition_scores(
    model: Any, kind: Kind
) -> Float[Tensor, "source_layer source_head target_layer target_head"]:
    """The composition score of every pair of heads; 0 unless the source is in a lower layer.

    The numbers of TransformerLens' `all_composition_scores`, one source layer at a time: for 270
    heads of 64 dimensions that takes 0.2 GB where all pairs at once take 12 GB.
    """
    if kind not in ("Q", "K", "V"):
        raise UnknownName("kind of composition", kind, ["Q", "K", "V"])
    W_Q, W_K, W_V, W_O = _stacked_weights(model)
    written = _upper(W_V) @ W_O  # [layer, head, d_head, d_model], as large as OV under any product
    factors = {"Q": (W_Q, W_K), "K": (W_K, W_Q), "V": (W_V, W_O.mT)}
    near, far = factors[kind]
    read = near @ _upper(far).mT  # [layer, head, d_model, d_head]
    norms = written.norm(dim=(-2, -1)), read.norm(dim=(-2, -1))
    scores = torch.zeros(*norms[0].shape, *norms[1].shape)
    for source in range(len(written) - 1):
        product = einsum(written[source], read[source + 1 :],
                         "head row d_model, layer other d_model column"
                         " -> head row layer other column")  # fmt: skip
        scores[source, :, source + 1 :] = product.pow(2).sum((1, 4)).sqrt()
    return scores / norms[0][:, :, None, None] / norms[1]


def _stacked_weights(model: Any) -> list[Float[Tensor, "layer head row column"]]:
    """W_Q, W_K, W_V, W_O of all heads; shared keys and values repeated."""
    stacked = [model.W_Q, model.W_K, model.W_V, model.W_O]
    repeats = [model.cfg.n_heads // weights.shape[1] for weights in stacked]
    return [w.float().repeat_interleave(n, dim=1) for w, n in zip(stacked, repeats, strict=True)]


def _upper(
    tall: Float[Tensor, "*lead d_model d_head"],
) -> Float[Tensor, "*lead d_head d_head"]:
    """The R of tall = Q R: the small matrix with the same norm in every product tall @ B."""
    return torch.linalg.qr(tall).R


# --- keys on data -----------------------------------------------------------------------------

_PARTS = (
    "resid_pre",
    "z",
    "mlp_out",
    "q",
    "rot_q",
    "cos",
    "sin",
    "scale",
    "attn_scores",
    "pattern",
)


def for_key_parts(name: str) -> bool:
    """The names_filter of a run whose cache `key_parts` is to read; it keeps the patterns too."""
    return name.endswith(tuple(f"hook_{part}" for part in _PARTS))


@torch.no_grad()
def key_parts(
    model: Any, cache: Any, layer: int, head: int
) -> dict[str, Float[Tensor, "batch q k"]]:
    """A head's attention scores split by what wrote the keys, for any model.

    Parts are named "embed", "0.3" (a head), "mlp 0" and, where there are any, "biases"; they sum to
    cache["attn_scores", layer][:, head] wherever the key is not in the query's future. A norm's
    scale is taken as it was in this run, so that the split stays linear; rotary positions turn each
    part as they turn the whole key.
    """
    prefix = f"blocks.{layer}.attn.hook_"
    query = cache[prefix + ("rot_q" if prefix + "rot_q" in cache else "q")][:, :, head]
    query = query / model.cfg.d_head**0.5
    W_K = head_circuits(model, layer, head).W_K
    parts: dict[str, Tensor] = {}
    for name, write in _writes(model, cache, layer):
        key = _read(model, cache, layer, name, write) @ W_K
        parts[name] = query @ _turned(key, cache, layer).mT
    b_K = getattr(model.blocks[layer].attn, "b_K", None)
    if b_K is not None:
        shared = head // (model.cfg.n_heads // len(b_K))
        parts["biases"] = parts["biases"] + (query @ b_K[shared])[..., None]
    return parts


def _writes(
    model: Any, cache: Any, layer: int
) -> Iterator[tuple[str, Float[Tensor, "batch pos d_model"]]]:
    """Who wrote what into the residual stream below a layer."""
    embed = cache["resid_pre", 0]
    yield "embed", embed
    attns = [model.blocks[below].attn for below in range(layer)]
    for below, attn in enumerate(attns):
        for head in range(model.cfg.n_heads):
            yield head_name((below, head)), cache["z", below][:, :, head] @ attn.W_O[head]
        if f"blocks.{below}.hook_mlp_out" in cache:
            yield f"mlp {below}", cache["mlp_out", below]
    if getattr(model.blocks[layer].attn, "b_K", None) is not None:
        yield "biases", sum((attn.b_O for attn in attns), torch.zeros_like(embed))


def _read(
    model: Any, cache: Any, layer: int, name: str, write: Float[Tensor, "batch pos d_model"]
) -> Float[Tensor, "batch pos d_model"]:
    """A write as the keys of a layer read it: after the norm, the embedding with its position."""
    norm = model.cfg.normalization_type
    if norm and norm.startswith("LN"):
        write = write - write.mean(-1, keepdim=True)
    if norm:
        write = write / cache["scale", layer, "ln1"]
    if name == "embed" and model.cfg.positional_embedding_type == "shortformer":
        write = write + model.W_pos[: write.shape[1]]
    return write


def _turned(
    key: Float[Tensor, "batch pos d_head"], cache: Any, layer: int
) -> Float[Tensor, "batch pos d_head"]:
    """Rotary positions, where the model has them."""
    name = f"blocks.{layer}.attn.hook_cos"
    return turn(key, cache[name], cache[name.replace("cos", "sin")]) if name in cache else key


def turn(
    x: Float[Tensor, "*rows d_head"],
    cos: Float[Tensor, "*#rows d_head"],
    sin: Float[Tensor, "*#rows d_head"],
) -> Float[Tensor, "*rows d_head"]:
    """Rotary positions (Su et al. 2021): dimensions i and i + d_head / 2 turn as a pair."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
