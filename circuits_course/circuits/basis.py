"""A small residual stream whose directions have names, for heads written by hand.

RASP (Weiss et al. 2021, "Thinking Like Transformers") describes attention by two primitives, select
and aggregate; Tracr (Lindner et al. 2023) compiles such programs into weights over a residual
stream whose directions have names. `Basis` is such a stream for the `CourseTransformer`, without
the compiler: the weights are for the learner to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import BOS_SYMBOL, CourseConfig
from circuits_course.models.transformer import CourseTransformer

ROWS_AND_COLUMNS = {
    "W_Q": "[d_model, d_head]",
    "W_K": "[d_model, d_head]",
    "W_V": "[d_model, d_head]",
    "W_O": "[d_head, d_model]",
}


class HeadWeights(NamedTuple):
    """The four matrices of one attention head.

    Queries and keys may be of another width (d_head) than values: `Basis.model` pads with zeros.
    """

    W_Q: Float[Tensor, "d_model d_head"]
    W_K: Float[Tensor, "d_model d_head"]
    W_V: Float[Tensor, "d_model d_head"]
    W_O: Float[Tensor, "d_head d_model"]


class HandRun(NamedTuple):
    """What heads written by hand do on one text.

    labels: its symbols, BOS first. patterns: one for each layer. written: the residual stream after
    the last head. says: the symbol predicted at each position, "?" where none stands out.
    """

    labels: list[str]
    patterns: Float[Tensor, "layer q k"]
    written: Float[Tensor, "pos d_model"]
    says: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class Basis:
    """Orthonormal directions of a residual stream, by name.

    Groups hold one direction for each symbol or position, as rows: `token` (the symbol that stands
    here), `previous` (room for the symbol one back), `out` (what the unembedding reads),
    `position` (seen by queries and keys only). Single directions: `one`, which is 1 everywhere,
    each feature, and `result`, room for a number.

    vocabulary: the symbols, BOS first. features: {name: {symbol: value}}, 0 where a symbol is not
    listed, and always 0 on BOS. seed: None lays the directions along the coordinates; a number
    turns them all together by a random rotation.
    """

    vocabulary: tuple[str, ...]
    n_ctx: int
    features: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, values in self.features.items():
            for symbol in values:
                if symbol not in self.vocabulary[1:]:
                    raise UnknownName(f"symbol of feature {name!r}", symbol, self.vocabulary[1:])

    def __repr__(self) -> str:
        turned = "" if self.seed is None else ", rotated"
        return f"Basis({self.d_vocab} symbols, {self.n_ctx} positions{turned})"

    @property
    def d_vocab(self) -> int:
        return len(self.vocabulary)

    @property
    def d_model(self) -> int:
        return len(self.names)

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Group -> the names of its directions; a single direction is a group of its own."""
        symbols = ["token", "previous", "out"]
        named = {group: [f"{group} {symbol}" for symbol in self.vocabulary] for group in symbols}
        named["position"] = [f"position {place}" for place in range(self.n_ctx)]
        return named | {name: [name] for name in ("one", *self.features, "result")}

    @cached_property
    def names(self) -> list[str]:
        """The names of all directions, in the order of the rows of `directions`."""
        return [name for group in self.groups.values() for name in group]

    @cached_property
    def directions(self) -> Float[Tensor, "name d_model"]:
        """All directions, as orthonormal rows."""
        if self.seed is None:
            return torch.eye(self.d_model)
        generator = torch.Generator().manual_seed(self.seed)
        square = torch.randn(self.d_model, self.d_model, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(square).Q.float()

    def group(self, name: str) -> Float[Tensor, "name d_model"]:
        """The directions of a group as rows. Raises UnknownName with the nearest groups."""
        if name not in self.groups:
            raise UnknownName("group of directions", name, self.groups)
        sizes = [len(group) for group in self.groups.values()]
        starts = dict(zip(self.groups, accumulate([0, *sizes]), strict=False))
        return self.directions[starts[name] :][: len(self.groups[name])].clone()

    def direction(self, name: str) -> Float[Tensor, " d_model"]:
        """One direction: "vowel", "one", "token a", ... Raises UnknownName with the nearest."""
        if name not in self.names:
            raise UnknownName("direction", name, self.names)
        return self.directions[self.names.index(name)].clone()

    @property
    def token(self) -> Float[Tensor, "d_vocab d_model"]:
        """Row t: "symbol t stands here". Row 0 is BOS."""
        return self.group("token")

    @property
    def previous(self) -> Float[Tensor, "d_vocab d_model"]:
        """Row t: "symbol t stands one back". Nothing is written here unless a head does it."""
        return self.group("previous")

    @property
    def out(self) -> Float[Tensor, "d_vocab d_model"]:
        """Row t: "symbol t comes next". The unembedding reads these, row 0 (BOS) excepted."""
        return self.group("out")

    @property
    def position(self) -> Float[Tensor, "n_ctx d_model"]:
        """Row p: "this is position p". Added to the input of queries and keys, never to values."""
        return self.group("position")

    @property
    def feature_values(self) -> Float[Tensor, "d_vocab feature"]:
        """The value of every feature on every symbol."""
        table = [
            [float(values.get(symbol, 0.0)) for values in self.features.values()]
            for symbol in self.vocabulary
        ]
        return torch.tensor(table).view(self.d_vocab, len(self.features))

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        """Every symbol's embedding: its token direction, `one`, and its features."""
        embedding = self.token + self.direction("one")
        for values, name in zip(self.feature_values.T, self.features, strict=True):
            embedding = embedding + values[:, None] * self.direction(name)
        return embedding

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        """Reads `out`; BOS is never predicted, so that a head may rest on it and stay silent."""
        unembedding = self.out.T
        unembedding[:, 0] = 0.0
        return unembedding

    def in_names(
        self, matrix: Float[Tensor, "d_model column"]
    ) -> tuple[list[str], Float[Tensor, "name column"]]:
        """The rows of a matrix, read along the named directions on which it acts at all."""
        rows = self.directions @ matrix
        acts = rows.abs().amax(dim=1) > 1e-4 * rows.abs().max().clamp_min(1e-9)
        return [name for name, on in zip(self.names, acts, strict=True) if on], rows[acts]

    def run(self, text: str, *heads: HeadWeights) -> HandRun:
        """Reads a text with one head a layer: labels, patterns, what is written, what is said.

        A symbol is said where its probability is above twice that of guessing.
        """
        model = self.model(*heads)
        logits, cache = model.run_with_cache(text)
        best = logits[0].softmax(-1).max(-1)
        says = [
            self.vocabulary[token] if p > 2 / self.d_vocab else "?"
            for p, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        patterns = torch.stack(
            [cache[f"blocks.{layer}.attn.hook_pattern"][0, 0] for layer in range(len(heads))]
        )
        written = cache[f"blocks.{len(heads) - 1}.hook_resid_post"][0]
        return HandRun(list(map(str, model.to_str_tokens(text))), patterns, written, says)

    def model(self, *heads: HeadWeights) -> CourseTransformer:
        """A `CourseTransformer` with one head a layer: these, in order.

        Each head is scaled by the square root of its own d_head, whatever the others have. Raises
        CourseError where a matrix does not fit.
        """
        heads = tuple(checked(self, head) for head in heads)
        d_head = max(weights.shape[1] for head in heads for weights in head[:3])
        config = CourseConfig(
            n_layers=len(heads),
            n_heads=1,
            d_model=self.d_model,
            d_head=d_head,
            d_vocab=self.d_vocab,
            n_ctx=self.n_ctx,
            vocabulary=self.vocabulary,
            model_name="by-hand",
        )
        model = CourseTransformer.blank(config).requires_grad_(False)
        model.W_E.copy_(self.W_E)
        model.W_pos.copy_(self.position)
        model.W_U.copy_(self.W_U)
        for layer, head in enumerate(heads):
            model.set_head(layer, 0, **_widened(head, d_head)._asdict())
        return model


def checked(basis: Basis, head: Sequence[Tensor]) -> HeadWeights:
    """Four matrices as float32 HeadWeights. Raises CourseError where one has the wrong shape."""
    if not isinstance(head, Sequence) or len(head) != len(ROWS_AND_COLUMNS):
        raise CourseError(
            f"A head is HeadWeights(W_Q, W_K, W_V, W_O), four matrices; got {kind(head)}."
        )
    if any(weights is None for weights in head):
        raise CourseError("One of the four matrices is None; write all of W_Q, W_K, W_V, W_O.")
    tensors = HeadWeights(*(torch.as_tensor(w, dtype=torch.float32).detach() for w in head))
    for name, weights in tensors._asdict().items():
        _check_shape(basis, name, weights)
    for one, other, axis in (("W_Q", "W_K", 1), ("W_V", "W_O", 0)):
        a, b = getattr(tensors, one), getattr(tensors, other)
        if a.shape[1] != b.shape[axis]:
            raise CourseError(
                f"{one} is {list(a.shape)} and {other} is {list(b.shape)}; their d_head must agree."
            )
    return tensors


def _check_shape(basis: Basis, name: str, weights: Tensor) -> None:
    d_model_axis = ROWS_AND_COLUMNS[name].startswith("[d_head")
    if weights.ndim != 2 or weights.shape[int(d_model_axis)] != basis.d_model:
        turned = weights.ndim == 2 and weights.shape[1 - int(d_model_axis)] == basis.d_model
        advice = "it looks transposed, try .T" if turned else f"d_model is {basis.d_model}"
        raise CourseError(
            f"{name} must be {ROWS_AND_COLUMNS[name]}; yours is {list(weights.shape)}: {advice}."
        )
    if not weights.isfinite().all():
        raise CourseError(f"{name} has entries that are NaN or infinite; look for 0/0 or log(0).")


def kind(value: object) -> str:
    """What a value is, for a message: "a Tensor", "a tuple of 3"."""
    length = f" of {len(value)}" if isinstance(value, Sequence) else ""
    return f"a {type(value).__name__}{length}"


def _widened(head: HeadWeights, d_head: int) -> HeadWeights:
    """The same head with zeros added up to d_head, queries scaled so that scores stay the same."""
    scale = (d_head / head.W_Q.shape[1]) ** 0.5

    def wide(weights: Tensor) -> Tensor:
        return torch.nn.functional.pad(weights, (0, d_head - weights.shape[1]))

    W_Q, W_K, W_V, W_O = head
    return HeadWeights(scale * wide(W_Q), wide(W_K), wide(W_V), wide(W_O.T).T)


def small_basis(seed: int | None = None) -> Basis:
    """Eight symbols with three features, and twelve positions: small enough to read by eye."""
    features = {
        "vowel": {"a": 1.0, "e": 1.0},
        "digit": {"1": 1.0, "2": 1.0, "3": 1.0},
        "value": {"1": 1.0, "2": 2.0, "3": 3.0},
    }
    return Basis((BOS_SYMBOL, *"abcde123"), 12, features, seed)
