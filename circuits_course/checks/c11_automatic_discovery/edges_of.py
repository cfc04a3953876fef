"""Exercise `edges_of`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.shared import Edges, heads_of, small_model
from circuits_course.checks.slips import slip

edges_of = Exercise(
    "edges_of",
    difficulty=2,
    importance=4,
    minutes=10,
    hints=[
        "Go through the layers and keep a list of the senders so far. It starts with the "
        "embedding and is one layer behind: whom does a head of layer 2 hear?",
        "In a layer of H heads there are 3 H receivers, one for each part of each head. Each of "
        "them hears every sender so far. When they are done, the layer's heads become senders.",
        "After the last layer, the logits hear everybody.",
    ],
)


@edges_of.cases
def _cases() -> Iterator[Case]:
    yield Case("one layer of two heads", small_model(1, 2))
    yield Case("two layers of three heads", small_model(2, 3))
    yield Case("three layers of two heads", small_model(3, 2))
    yield Case("one layer of one head", small_model(1, 1))


@edges_of.prop
def as_pairs(edges: Any, model: Any) -> str | None:
    if not isinstance(edges, list | tuple):
        return f"expected a list of edges, got a {type(edges).__name__}"
    odd = next((edge for edge in edges if not isinstance(edge, tuple) or len(edge) != 2), None)
    return None if odd is None else f"{odd!r} is no edge: an edge is a pair (sender, receiver)"


@edges_of.prop
def each_once(edges: Any, model: Any) -> str | None:
    twice = [edge for edge, count in Counter(edges).items() if count > 1]
    return f"{twice[0]!r} is listed more than once" if twice else None


@edges_of.prop
def the_right_number(edges: Any, model: Any) -> str | None:
    wanted = len(_oracle(model))
    if len(edges) == wanted:
        return None
    missing = [edge for edge in _oracle(model) if edge not in set(edges)]
    extra = [edge for edge in edges if edge not in set(_oracle(model))]
    first = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is none"
    return f"there are {wanted} edges, you have {len(edges)}: {first}"


@edges_of.observe
def _as_given(edges: Any, model: Any) -> Any:
    """Mistakes are told apart by the edges, whichever property shows them first."""
    return edges


@edges_of.oracle
def _oracle(model: Any) -> Edges:
    return _edges(model, lambda sender, layer: sender[0] < layer)


def _edges(
    model: Any,
    comes_before: Any,
    *,
    parts: tuple[str, ...] = ("q", "k", "v"),
    embed: bool = True,
    logits: bool = True,
    to_logits: Any = lambda sender: True,
) -> Edges:
    """Every pair of a sender and a receiver that may be one, one after the other."""
    layers, per_layer = range(model.cfg.n_layers), range(model.cfg.n_heads)
    first: list[Any] = ["embed"] if embed else []
    found: Edges = []
    for layer, part, head in product(layers, parts, per_layer):
        receiver = (layer, head, part) if part else (layer, head)
        senders = [*first, *(s for s in heads_of(model) if comes_before(s, layer))]
        found += [(sender, receiver) for sender in senders]
    if logits:
        found += [(s, "logits") for s in [*first, *heads_of(model)] if to_logits(s)]
    return found


@edges_of.wrong(
    "heads of one layer are joined. They run side by side on the same residual stream, so a head "
    "hears earlier layers only."
)
def hears_its_own_layer(model: Any) -> Edges:
    return _edges(model, lambda sender, layer: sender[0] <= layer)


@edges_of.wrong(
    "only neighbouring layers are joined. What is written stays in the residual stream: every "
    "later layer reads it, and so do the logits."
)
def next_layer_only(model: Any) -> Edges:
    last = model.cfg.n_layers - 1
    return [
        edge
        for edge in _edges(
            model,
            lambda sender, layer: sender[0] == layer - 1,
            to_logits=lambda s: s != "embed" and s[0] == last,
        )
        if edge[0] != "embed" or edge[1][0] == 0
    ]


@edges_of.wrong("the embedding is missing among the senders: every receiver hears the tokens, too.")
def without_the_embedding(model: Any) -> Edges:
    return _edges(model, lambda sender, layer: sender[0] < layer, embed=False)


@edges_of.wrong(
    "the logits are missing among the receivers: whatever is in the residual stream at the end is "
    "read by the unembedding."
)
def without_the_logits(model: Any) -> Edges:
    return _edges(model, lambda sender, layer: sender[0] < layer, logits=False)


@edges_of.wrong(
    "a head is one receiver here. Its queries, keys and values read the stream separately: "
    '(layer, head, "q"), (layer, head, "k") and (layer, head, "v").'
)
def heads_as_receivers(model: Any) -> Edges:
    return _edges(model, lambda sender, layer: sender[0] < layer, parts=("",))


@edges_of.wrong("the embedding's own edge to the logits is missing: the direct path of chapter 01.")
def no_direct_path(model: Any) -> Edges:
    return [edge for edge in _oracle(model) if edge != ("embed", "logits")]


@edges_of.wrong(
    "the pairs are turned round: the sender, who writes, comes first, the receiver second."
)
def turned_round(model: Any) -> Edges:
    return [(receiver, sender) for sender, receiver in _oracle(model)]


@edges_of.wrong(
    "every edge is there, in another order. In each layer all queries come first, then all keys, "
    "then all values; ACDC below goes through this list from its end."
)
def head_by_head(model: Any) -> Edges:
    ours = {part: i for i, part in enumerate("qkv")}

    def place(edge: Any) -> Any:
        receiver = edge[1]
        last = (model.cfg.n_layers, 0, 0)
        return last if receiver == "logits" else (receiver[0], receiver[1], ours[receiver[2]])

    return sorted(_oracle(model), key=place)


slip(
    edges_of,
    "letters_in_another_order",
    "the letters come in another order: in each layer all queries, then all keys, then all values.",
    (
        'receivers = [(layer, head, part) for part in "qkv" for head in heads]',
        'receivers = [(layer, head, part) for part in "kqv" for head in heads]',
    ),
)


slip(
    edges_of,
    "logits_hear_the_last_layer",
    "the logits hear the last layer alone. Everything that was ever written is still in the "
    "stream at the end.",
    (
        "for sender in senders]\n    # END",
        'for sender in senders if sender == "embed" or sender[0] == model.cfg.n_layers - 1]\n'
        "    # END",
    ),
)


slip(
    edges_of,
    "neighbours_and_the_embedding",
    "a head hears the embedding and the layer just before it. What is written stays in the "
    "stream: every earlier layer is heard.",
    (
        "for receiver in receivers for sender in senders]",
        'for receiver in receivers for sender in senders if sender == "embed" or sender[0] == '
        "layer - 1]",
    ),
)


slip(
    edges_of,
    "embedding_into_layer_0_only",
    "the embedding is heard by layer 0 and by the logits alone. It stays in the stream: "
    "every receiver hears it.",
    (
        "for receiver in receivers for sender in senders]",
        'for receiver in receivers for sender in senders if sender != "embed" or layer == 0]',
    ),
)


slip(
    edges_of,
    "lower_numbers_are_heard",
    "heads hear those of their own layer that have a lower number. Heads of a layer run side "
    "by side.",
    (
        "for receiver in receivers for sender in senders]",
        "for receiver in receivers for sender in [*senders, *((layer, h) for h in "
        "range(receiver[1]))]]",
    ),
)


slip(
    edges_of,
    "same_head_number_only",
    "only heads of the same number are joined. Every head hears all heads of earlier layers.",
    (
        "for receiver in receivers for sender in senders]",
        'for receiver in receivers for sender in senders if sender == "embed" or sender[1] == '
        "receiver[1]]",
    ),
)


slip(
    edges_of,
    "by_sender",
    "the edges are in the order of senders. They go by receivers, and for each receiver by "
    "senders.",
    ("return edges", 'return sorted(edges, key=lambda e: (-1, -1) if e[0] == "embed" else e[0])'),
)


slip(
    edges_of,
    "capital_letters",
    'the parts of a head are written in small letters: "q", "k", "v".',
    ('part in "qkv"', 'part in "QKV"'),
)


slip(
    edges_of,
    "logits_come_first",
    "the edges to the logits come first. They come last, after all layers.",
    (
        'edges += [(sender, "logits") for sender in senders]',
        'edges = [(sender, "logits") for sender in senders] + edges',
    ),
)
