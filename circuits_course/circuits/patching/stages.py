"""A transformer taken apart into stages that can be run from any layer and any position on.

A `CourseTransformer` and a TransformerLens bridge are run by the same few steps: queries, keys and
values of some positions; mixing over all keys; writing back; the MLP; the logits. What comes before
a layer and a position is then taken from a run that has it, and not computed again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.errors import CourseError
from circuits_course.models.layers import smear
from circuits_course.models.transformer import CourseTransformer

Edit = Callable[[str, int, Tensor], Tensor]
"""(name, layer, value) -> value."""

KEPT = ("resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "mlp_out")
ROTATION = ("blocks.0.attn.hook_cos", "blocks.0.attn.hook_sin")
NUMBERS = 300_000  # of residual streams that go through a layer at once: what a cache holds
AGREEMENT = 1e-3  # largest difference of log-probabilities to the model's own forward
_agreed: WeakSet[Any] = WeakSet()


class QKV(NamedTuple):
    """Queries, keys and values of some positions; any leading axes. Positions are in."""

    q: Float[Tensor, "*run pos head d_head"]
    k: Float[Tensor, "*run pos kv_head d_head"]
    v: Float[Tensor, "*run pos kv_head d_head"]


@dataclass(frozen=True)
class Run:
    """What a run over whole sequences left behind, a list entry per layer.

    resid_pre, attn_out, mlp_out: [batch, pos, d_model]. q: [batch, pos, head, d_head]; k, v:
    [batch, pos, kv_head, d_head]; z: [batch, pos, head, d_head]; pattern: [batch, head, q, k].
    resid_final: the last residual stream.
    """

    resid_pre: list[Tensor]
    attn_out: list[Tensor]
    mlp_out: list[Tensor]
    q: list[Tensor]
    k: list[Tensor]
    v: list[Tensor]
    z: list[Tensor]
    pattern: list[Tensor]
    resid_final: Tensor


def _joined(parts: list[Run]) -> Run:
    """Runs of parts of a batch as one."""
    layers = {
        name: [torch.cat(values) for values in zip(*(getattr(p, name) for p in parts), strict=True)]
        for name in KEPT
    }
    return Run(**layers, resid_final=torch.cat([part.resid_final for part in parts]))


def unedited(_name: str, _layer: int, value: Tensor) -> Tensor:
    """The edit that changes nothing."""
    return value


class Stages(ABC):
    """The stages of one model. Raises CourseError where the model is not built as assumed."""

    model: Any
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    scale: float
    parallel = False  # whether the MLP reads the stream before this layer's heads have written
    local_keys = True  # whether a key depends on its own position's residual stream alone

    @abstractmethod
    def embed(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream before layer 0."""

    @abstractmethod
    def qkv(self, layer: int, resid: Float[Tensor, "*run pos d_model"], first: int) -> QKV:
        """Queries, keys and values of positions first, first + 1, ..."""

    @abstractmethod
    def split_qkv(
        self,
        layer: int,
        q: Float[Tensor, "*run pos head d_model"],
        k: Float[Tensor, "*run pos kv_head d_model"],
        v: Float[Tensor, "*run pos kv_head d_model"],
    ) -> QKV:
        """`qkv` of whole sequences, where every head reads a residual stream of its own."""

    @abstractmethod
    def write(
        self, layer: int, z: Float[Tensor, "*run pos head d_head"]
    ) -> Float[Tensor, "*run pos d_model"]:
        """What a layer's heads add."""

    @abstractmethod
    def mlp(
        self, layer: int, resid: Float[Tensor, "*run pos d_model"]
    ) -> Float[Tensor, "*run pos d_model"] | None:
        """What the MLP adds, None where there is none."""

    def normed(self, resid: Float[Tensor, "*run d_model"]) -> Float[Tensor, "*run d_model"]:
        """The final norm."""
        return self.model.ln_final(resid)

    def unembedding(self) -> tuple[Float[Tensor, "d_model d_vocab"], Float[Tensor, " d_vocab"]]:
        """W_U and b_U."""
        return self.model.W_U, self.model.b_U

    def mlp_reads(self, resid_pre: Tensor, attn_out: Tensor) -> Tensor:
        """The stream that a layer's MLP reads: with its heads' writes, or beside them."""
        return resid_pre if self.parallel else resid_pre + attn_out

    def mlp_adds(self, layer: int, resid: Float[Tensor, "*run d_model"]) -> Tensor:
        """`mlp`, zeros where there is none."""
        added = self.mlp(layer, resid)
        return torch.zeros_like(resid) if added is None else added

    def logits(self, resid: Float[Tensor, "*run d_model"]) -> Float[Tensor, "*run d_vocab"]:
        """Logits of final residual streams."""
        W_U, b_U = self.unembedding()
        return self.normed(resid) @ W_U + b_U

    def columns(
        self,
        resid: Float[Tensor, "*run batch d_model"],
        tokens: Int[Tensor, "batch column"],
    ) -> Float[Tensor, "*run batch column"]:
        """Logits of a few tokens only, each sequence having its own."""
        W_U, b_U = self.unembedding()
        chosen = rearrange(W_U.T[tokens], "batch column d_model -> batch d_model column")
        return (
            einsum(
                self.normed(resid),
                chosen,
                "... batch d_model, batch d_model column -> ... batch column",
            )
            + b_U[tokens]
        )

    def run(
        self,
        tokens: Int[Tensor, "batch pos"],
        edit: Edit | None = None,
        keep: Collection[str] = KEPT,
        until: int | None = None,
    ) -> Run:
        """A run over whole sequences that keeps what `keep` names.

        edit: called with every name of `KEPT` and layer in turn; what it returns takes the value's
        place. until: the last layer to run, whose residual stream then comes as resid_final.
        """
        at_once = max(1, NUMBERS // (tokens.shape[1] * self.model.cfg.d_model))
        if edit is None and len(tokens) > at_once:
            return _joined([self.run(part, None, keep, until) for part in tokens.split(at_once)])
        edit = edit or unedited
        resid = self.embed(tokens)
        kept: dict[str, list[Tensor]] = {name: [] for name in KEPT}
        for layer in range(self.n_layers if until is None else until + 1):
            states = self.one_layer(layer, edit("resid_pre", layer, resid), edit)
            for name in keep:
                kept[name].append(states[name])
            resid = states["resid_pre"] + states["attn_out"] + states["mlp_out"]
        return Run(**kept, resid_final=resid)

    def one_layer(self, layer: int, resid: Tensor, edit: Edit) -> dict[str, Tensor]:
        """Everything that a layer makes of its residual stream [*run pos d_model], by name."""
        qkv = self.qkv(layer, resid, 0)
        q, k, v = (edit(name, layer, x) for name, x in zip("qkv", qkv, strict=True))
        pattern = edit("pattern", layer, self.pattern(layer, q, k))
        z = edit("z", layer, mix(pattern, v))
        attn_out = edit("attn_out", layer, self.write(layer, z))
        mlp_out = self.mlp_adds(layer, self.mlp_reads(resid, attn_out))
        return {
            "resid_pre": resid, "attn_out": attn_out, "mlp_out": edit("mlp_out", layer, mlp_out),
            "q": q, "k": k, "v": v, "z": z, "pattern": pattern,
        }  # fmt: skip

    def keys(self, _layer: int, k: Float[Tensor, "*run pos kv_head d_head"]) -> Tensor:
        """Keys as queries meet them, from those of all positions."""
        return k

    def pattern(
        self,
        layer: int,
        q: Float[Tensor, "*run query head d_head"],
        k: Float[Tensor, "*run key kv_head d_head"],
    ) -> Float[Tensor, "*run head query key"]:
        """Causal attention of the last positions (as many as there are queries) over all keys."""
        grouped, k = q.unflatten(-2, (k.shape[-2], -1)), self.keys(layer, k)
        scores = einsum(grouped, k, "... q kv group d_head, ... k kv d_head -> ... kv group q k")
        return causal_softmax(scores / self.scale).flatten(-4, -3)


def causal_softmax(
    scores: Float[Tensor, "*run query key"],
) -> Float[Tensor, "*run query key"]:
    """Softmax over keys; the queries are the last positions of the keys."""
    n_queries, n_keys = scores.shape[-2:]
    query = torch.arange(n_keys - n_queries, n_keys, device=scores.device)[:, None]
    future = torch.arange(n_keys, device=scores.device)[None] > query  # [query, key]
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def mix(
    pattern: Float[Tensor, "*run head query key"], v: Float[Tensor, "*run key kv_head d_head"]
) -> Float[Tensor, "*run query head d_head"]:
    """Values mixed by the pattern; several heads may share one value."""
    grouped = pattern.unflatten(-3, (v.shape[-2], -1))
    z = einsum(grouped, v, "... kv group q k, ... k kv d_head -> ... q kv group d_head")
    return z.flatten(-3, -2)


class CourseStages(Stages):
    """The stages of a `CourseTransformer`."""

    def __init__(self, model: CourseTransformer) -> None:
        self.model, cfg = model, model.cfg
        self.n_layers, self.n_heads, self.n_kv_heads = cfg.n_layers, cfg.n_heads, cfg.n_heads
        self.scale, self.d_head = cfg.attn_scale, cfg.d_head
        self.local_keys = not cfg.smeared_keys
        self.blocks: Any = model.blocks

    def embed(self, tokens: Tensor) -> Tensor:
        return self.model.embed(tokens)

    def qkv(self, layer: int, resid: Tensor, first: int) -> QKV:
        block = self.blocks[layer]
        x = block.ln1(resid)
        attn, placed = block.attn, x + self.model.W_pos[first : first + resid.shape[-2]]
        q, k, v = (
            einsum(y, W, "... pos d_model, head d_model d_head -> ... pos head d_head")
            for y, W in ((placed, attn.W_Q), (placed, attn.W_K), (x, attn.W_V))
        )
        return QKV(q, k, v)

    def split_qkv(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> QKV:
        attn, norm = self.blocks[layer].attn, self.blocks[layer].ln1
        places = self.model.W_pos[: q.shape[-3], None]  # [pos, 1, d_model]
        return QKV(
            _by_head(norm(q) + places, attn.W_Q),
            _by_head(norm(k) + places, attn.W_K),
            _by_head(norm(v), attn.W_V),
        )

    def keys(self, _layer: int, k: Tensor) -> Tensor:
        alpha = self.blocks[_layer].attn.alpha
        return k if alpha is None else smear(k.flatten(0, -4), alpha).reshape(k.shape)

    def write(self, layer: int, z: Tensor) -> Tensor:
        W_O = self.blocks[layer].attn.W_O
        return einsum(z, W_O, "... head d_head, head d_head d_model -> ... d_model")

    def mlp(self, layer: int, resid: Tensor) -> Tensor | None:
        if self.model.cfg.attn_only:
            return None
        block = self.blocks[layer]
        return block.mlp(block.ln2(resid))


class BridgeStages(Stages):
    """The stages of a TransformerLens bridge: sequential blocks, learned or rotary positions."""

    def __init__(self, model: Any) -> None:
        self.model, cfg = model, model.cfg
        self.n_layers, self.n_heads = cfg.n_layers, cfg.n_heads
        self.n_kv_heads = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
        self.d_head, self.scale = cfg.d_head, cfg.d_head**0.5
        self.parallel = bool(getattr(cfg, "parallel_attn_mlp", False))
        self._rotary = ROTATION[0] in model.hook_dict  # which takes the bridge a while to say
        self._rotation: tuple[Tensor, Tensor] | None = None

    def embed(self, tokens: Tensor) -> Tensor:
        return self._seen(tokens, ["blocks.0.hook_in"])["blocks.0.hook_in"]

    def _seen(self, tokens: Tensor, names: list[str]) -> dict[str, Tensor]:
        """Activations of the first layer."""
        seen: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: Any) -> None:
            seen[hook.name] = value.detach()

        self.model.run_with_hooks(
            tokens, return_type=None, stop_at_layer=1, fwd_hooks=[(name, keep) for name in names]
        )
        return seen

    def rotation(self, n_pos: int) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines of the first positions, [pos, 1, turned]; None without rotation.

        They depend on the position alone, so they are asked of the model once, for the longest.
        """
        if not self._rotary:
            return None
        if self._rotation is None or len(self._rotation[0]) < n_pos:
            tokens = torch.zeros(1, n_pos, dtype=torch.int64, device=self.model.W_U.device)
            seen = self._seen(tokens, list(ROTATION))
            cos, sin = (seen[name][0, :, None, :] for name in ROTATION)
            self._rotation = cos, sin
        return self._rotation

    def qkv(self, layer: int, resid: Tensor, first: int) -> QKV:
        block = self.model.blocks[layer]
        x, attn = block.ln1(resid), block.attn
        q, k, v = (
            project(x).unflatten(-1, (-1, self.d_head)) for project in (attn.q, attn.k, attn.v)
        )
        if rotation := self.rotation(first + resid.shape[-2]):
            q, k = _rotated(q, first, *rotation), _rotated(k, first, *rotation)
        return QKV(q, k, v)

    def split_qkv(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> QKV:
        norm, (to_q, to_k, to_v) = self.model.blocks[layer].ln1, self._projections[layer]
        new_q, new_k = (_by_head(norm(x), *to) for x, to in ((q, to_q), (k, to_k)))
        if rotation := self.rotation(q.shape[-3]):
            new_q, new_k = (_rotated(x, 0, *rotation) for x in (new_q, new_k))
        return QKV(new_q, new_k, _by_head(norm(v), *to_v))

    @cached_property
    def _projections(self) -> list[list[tuple[Tensor, Tensor]]]:
        """By layer, for queries, keys, values: weights [head, d_model, d_head], biases."""
        parts = [block.attn for block in self.model.blocks]
        return [[self._heads_of(part) for part in (a.q, a.k, a.v)] for a in parts]

    @torch.no_grad()
    def _heads_of(self, project: Any) -> tuple[Tensor, Tensor]:
        W_U = self.model.W_U
        bias = project(torch.zeros_like(W_U[:, :1].T))  # [1, head * d_head]
        weight = project(torch.eye(len(W_U), dtype=W_U.dtype, device=W_U.device)) - bias
        weight, bias = (x.unflatten(-1, (-1, self.d_head)) for x in (weight, bias))
        return weight.transpose(0, 1), bias[0]

    def write(self, layer: int, z: Tensor) -> Tensor:
        return self.model.blocks[layer].attn.o(z.flatten(-2))

    def mlp(self, layer: int, resid: Tensor) -> Tensor:
        block = self.model.blocks[layer]
        return block.mlp(block.ln2(resid))


def _by_head(
    x: Float[Tensor, "*run pos head d_model"],
    W: Float[Tensor, "head d_model d_head"],
    bias: Tensor | float = 0.0,
) -> Float[Tensor, "*run pos head d_head"]:
    return einsum(x, W, "... head d_model, head d_model d_head -> ... head d_head") + bias


def _rotated(
    x: Float[Tensor, "*run pos head d_head"], first: int, cos: Tensor, sin: Tensor
) -> Float[Tensor, "*run pos head d_head"]:
    """Rotary positions: each pair (i, i + half) of numbers turned by its position's angle."""
    cos, sin = (part[first : first + x.shape[-3]] for part in (cos, sin))
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    left, right = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat([-right, left], dim=-1) * sin
    return torch.cat([turned, rest], dim=-1)


def stages_of(model: Any, tokens: Int[Tensor, "batch pos"]) -> Stages:
    """The stages of a model, held once against its own forward on `tokens`.

    Raises CourseError where they disagree: the model is not built as assumed.
    """
    course = isinstance(model, CourseTransformer)
    stages: Stages = CourseStages(model) if course else BridgeStages(model)
    if model not in _agreed:
        _require_agreement(model, stages, tokens[:1])
        _agreed.add(model)
    return stages


@torch.no_grad()
def _require_agreement(model: Any, stages: Stages, tokens: Tensor) -> None:
    ours = stages.logits(stages.run(tokens).resid_final).log_softmax(-1)
    largest = (ours - model(tokens).log_softmax(-1)).abs().max().item()
    if not largest < AGREEMENT:
        raise CourseError(
            f"Taken apart, this model gives other log-probabilities (by up to {largest:.2g}); "
            "use transformer_lens.patching, which runs it whole."
        )
