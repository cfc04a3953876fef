"""How heads of different layers work together: through queries, keys or values.

Row vectors throughout, as in TransformerLens: a head reads x and writes x @ OV, and the score of a
query vector x against a key vector y is x @ QK @ y.T. What a lower head writes into a higher one is
therefore `OV @ QK` (queries), `OV @ QK.T` (keys), `OV @ OV` (values), lower head on the left. The
paper (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits") has column vectors
and the higher head on the left; norms are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course.circuits.basis import HeadWeights
from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.norms import centred
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


def strongest_pairs(
    scores: Float[Tensor, "source_layer source_head target_layer target_head"], count: int
) -> list[tuple[Head, Head]]:
    """The pairs (source, target) with the largest scores, largest first."""
    found = []
    for index in scores.flatten().argsort(descending=True)[:count].tolist():
        source, target = divmod(index, scores.shape[2] * scores.shape[3])
        found.append((divmod(source, scores.shape[1]), divmod(target, scores.shape[3])))
    return found


def directions_used(matrix: FactoredMatrix) -> float:
    """How many equally strong directions would concentrate a matrix's norm as much as its own do.

    The participation ratio of the squared singular values: 1 for a matrix of rank one, r for r
    equal ones.
    """
    squares = matrix.S.pow(2)
    return (squares.sum() ** 2 / squares.pow(2).sum()).item()


# --- keys on data -----------------------------------------------------------------------------

_PARTS = (
    "resid_pre",
    "z",
    "mlp_out",
    "q",
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
    query = _query(model, cache, layer, head)
    W_K = head_circuits(model, layer, head).W_K
    parts: dict[str, Tensor] = {}
    for name, write in _writes(model, cache, layer):
        key = _read(model, cache, layer, name, write) @ W_K
        parts[name] = query @ _turned(key, cache, layer).mT
    b_K = getattr(model.blocks[layer].attn, "b_K", None)
    if b_K is not None:
        shared = head // (model.cfg.n_heads // len(b_K))
        bias = _turned(b_K[shared].expand(*query.shape[:-1], -1), cache, layer)
        parts["biases"] = parts["biases"] + query @ bias.mT
    return parts


Instead = Literal["nothing", "mean", "another"]
"""What stands where a write was cut out: nothing, its mean over the batch and all positions but the
first, or what it is in the next sequence of the batch."""


@torch.no_grad()
def key_cuts(
    model: Any,
    cache: Any,
    layer: int,
    head: int,
    measure: Callable[[Float[Tensor, "batch q k"]], Tensor],
    instead: Instead = "nothing",
) -> dict[str, float]:
    """What a head's attention loses when one writer's part of its keys is cut, for every writer.

    measure: the pattern [batch, q, k] -> one number, or one for each sequence (their mean counts).
    Returns measure of the whole pattern less measure without the part, by the names of `key_parts`.
    Nothing is run again: writers, queries and norm are those of the cached run.
    """
    scores = cache["attn_scores", layer][:, head]

    def measured(scores: Tensor) -> float:
        return measure(scores.softmax(-1)).mean().item()

    whole = measured(scores)
    if instead == "nothing":
        parts = key_parts(model, cache, layer, head)
        return {name: whole - measured(scores - part) for name, part in parts.items()}
    query, W_K = _query(model, cache, layer, head), head_circuits(model, layer, head).W_K
    losses = {}
    for name, write in _writes(model, cache, layer):
        read = _read(model, cache, layer, name, write)
        change = _turned((_replaced(read, instead) - read) @ W_K, cache, layer)
        losses[name] = whole - measured(scores + query @ change.mT)
    return losses


def _replaced(
    read: Float[Tensor, "batch pos d_model"], instead: Instead
) -> Float[Tensor, "batch pos d_model"]:
    if instead == "another":
        return read.roll(1, dims=0)
    if instead != "mean":
        raise UnknownName("replacement of a write", instead, ["nothing", "mean", "another"])
    mean = read[:, 1:].mean((0, 1)).expand_as(read[:, 1:])
    return torch.cat([read[:, :1], mean], dim=1)


@torch.no_grad()
def cut_from_keys(
    model: Any,
    tokens: Int[Tensor, "batch pos"],
    cache: Any,
    source: Head,
    targets: Iterable[Head],
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits when what one head writes no longer reaches the keys of the targets.

    cache: of a plain run on the same tokens, with `for_key_parts`. Heads that share keys with a
    target lose them too. Everything else runs on: the source still reaches queries, values, MLPs.
    Targets at or below the source's layer are passed over.
    """
    written = cache["z", source[0]][:, :, source[1]] @ model.blocks[source[0]].attn.W_O[source[1]]
    hooks = []
    for layer, shared in sorted({_key_head(model, *t) for t in targets if t[0] > source[0]}):
        read = _read(model, cache, layer, head_name(source), written)
        share = read @ model.blocks[layer].attn.W_K[shared]

        def cut(k: Tensor, hook: Any, shared: int = shared, share: Tensor = share) -> Tensor:
            k[:, :, shared] -= share
            return k

        hooks.append((f"blocks.{layer}.attn.hook_k", cut))
    return model.run_with_hooks(tokens, fwd_hooks=hooks)


def _key_head(model: Any, layer: int, head: int) -> tuple[int, int]:
    """The layer and the number of the key head that a query head reads."""
    return layer, head // (model.cfg.n_heads // model.blocks[layer].attn.W_K.shape[0])


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
    write = centred(model, write)
    if norm:
        write = write / cache["scale", layer, "ln1"]
    if name == "embed" and model.cfg.positional_embedding_type == "shortformer":
        write = write + model.W_pos[: write.shape[1]]
    return write


def _query(model: Any, cache: Any, layer: int, head: int) -> Float[Tensor, "batch pos d_head"]:
    """A head's queries as they meet the keys: turned where positions are rotary, and scaled."""
    query = _turned(cache[f"blocks.{layer}.attn.hook_q"][:, :, head], cache, layer)
    return query / model.cfg.d_head**0.5


def _turned(
    x: Float[Tensor, "batch pos d_head"], cache: Any, layer: int
) -> Float[Tensor, "batch pos d_head"]:
    """Rotary positions, where the model has them."""
    name = f"blocks.{layer}.attn.hook_cos"
    return turn(x, cache[name], cache[name.replace("cos", "sin")]) if name in cache else x


def turn(
    x: Float[Tensor, "*rows d_head"],
    cos: Float[Tensor, "*#rows d_rotary"],
    sin: Float[Tensor, "*#rows d_rotary"],
) -> Float[Tensor, "*rows d_head"]:
    """Rotary positions (Su et al. 2021): dimensions i and i + d_rotary / 2 turn as a pair.

    d_rotary is d_head or, as in Pythia, less; what is beyond it stays as it is.
    """
    turning, still = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = turning.chunk(2, dim=-1)
    turned = turning * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([turned, still], dim=-1)
