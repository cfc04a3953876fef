"""A transformer as a graph: who writes to the residual stream, who reads it, and the edges between.

Every sender adds to the residual stream and every later receiver reads the sum, so there is an edge
from each sender to each receiver that comes after it (Elhage et al. 2021; as in ACDC, Conmy et al.
2023, arXiv 2304.14997, section 3, with a head's queries, keys and values apart).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits_course.circuits.heads import Head
from circuits_course.errors import CourseError

MLP = tuple[int, Literal["mlp"]]
Sender = Literal["embed"] | Head | MLP
Receiver = tuple[int, int, str] | MLP | Literal["logits"]


class Edge(NamedTuple):
    """What one sender says to one receiver through the residual stream; equal to the plain pair.

    sender: "embed", (layer, head) or (layer, "mlp"). receiver: (layer, head, "q"), (layer, head,
    "k") or "v" (for k and v counted in key/value heads), (layer, "mlp") or "logits".
    """

    sender: Sender
    receiver: Receiver

    def __str__(self) -> str:
        return f"{_text(self.sender)} -> {_text(self.receiver)}"


def _text(node: Sender | Receiver) -> str:
    if isinstance(node, str):
        return node
    layer, *rest = node
    if rest == ["mlp"]:
        return f"mlp {layer}"
    return " ".join([f"{layer}.{rest[0]}", *map(str, rest[1:])])


def edges_of(model: Any) -> list[Edge]:
    """All edges of a model's graph, receivers from layer 0 to the logits.

    model: a CourseTransformer or a TransformerLens bridge. Where keys and values are grouped, a
    key/value head is one receiver; where attention and MLP run side by side (Pythia), the MLP does
    not hear the heads of its own layer.
    """
    return Graph.of(model).edges


@dataclass(frozen=True)
class Graph:
    """Senders and receivers in order, and how many of the senders each receiver hears.

    A receiver hears all senders that come before it: the first `heard` of the list.
    """

    senders: list[Sender]
    receivers: list[Receiver]
    heard: list[int]
    n_heads: int
    n_kv_heads: int

    @classmethod
    def of(cls, model: Any) -> Graph:
        """The graph of a CourseTransformer or a bridge."""
        cfg = model.cfg
        n_kv = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
        has_mlp = not getattr(cfg, "attn_only", False)
        parallel = bool(getattr(cfg, "parallel_attn_mlp", False))
        senders: list[Sender] = ["embed"]
        receivers: list[Receiver] = []
        heard: list[int] = []
        for layer in range(cfg.n_layers):
            here: list[Receiver] = [(layer, head, "q") for head in range(cfg.n_heads)]
            here += [(layer, head, letter) for letter in "kv" for head in range(n_kv)]
            receivers += here
            heard += [len(senders)] * len(here)
            before = len(senders)
            senders += [(layer, head) for head in range(cfg.n_heads)]
            if has_mlp:
                receivers.append((layer, "mlp"))
                heard.append(before if parallel else len(senders))
                senders.append((layer, "mlp"))
        return cls(senders, [*receivers, "logits"], [*heard, len(senders)], cfg.n_heads, n_kv)

    @cached_property
    def edges(self) -> list[Edge]:
        return [
            Edge(sender, receiver)
            for receiver, heard in zip(self.receivers, self.heard, strict=True)
            for sender in self.senders[:heard]
        ]

    @cached_property
    def sender_index(self) -> dict[Sender, int]:
        return {sender: index for index, sender in enumerate(self.senders)}

    @cached_property
    def receiver_index(self) -> dict[Receiver, int]:
        return {receiver: index for index, receiver in enumerate(self.receivers)}

    @cached_property
    def exists(self) -> Bool[Tensor, "receiver sender"]:
        """Which pairs are edges."""
        order = torch.arange(len(self.senders))
        return order[None] < torch.tensor(self.heard)[:, None]

    def index(self, edge: Any) -> tuple[int, int]:
        """Receiver and sender of an edge as indices. Raises CourseError where there is none."""
        try:
            sender, receiver = edge
            row, column = self.receiver_index[receiver], self.sender_index[sender]
        except (TypeError, ValueError, KeyError) as error:
            raise CourseError(f"{edge!r} is no edge of this model: see edges_of(model).") from error
        if column >= self.heard[row]:
            raise CourseError(f"{edge!r} is no edge: the receiver comes before the sender.")
        return row, column

    def mask(self, edges: Iterable[Any]) -> Bool[Tensor, "receiver sender"]:
        """True where an edge is among these. Raises CourseError for what is no edge."""
        mask = torch.zeros(len(self.receivers), len(self.senders), dtype=torch.bool)
        indices = [self.index(edge) for edge in edges]
        if indices:
            mask[tuple(torch.tensor(indices).T)] = True
        return mask

    def scores(self, table: Float[Tensor, "receiver sender"]) -> dict[Edge, float]:
        """A table's numbers by edge."""
        return dict(zip(self.edges, table[self.exists].tolist(), strict=True))

    def within_layer(self, layer: int) -> slice:
        """The rows of the receivers of a layer's heads: queries, then keys, then values."""
        start = self.receiver_index[layer, 0, "q"]
        return slice(start, start + self.n_heads + 2 * self.n_kv_heads)


def between_heads(edges: Collection[Any]) -> list[Edge]:
    """Those edges that a claim about heads names: from a head, to a head or the logits."""
    return [
        Edge(*edge) for edge in edges if edge[0] != "embed" and "mlp" not in (*edge[0], *edge[1])
    ]
