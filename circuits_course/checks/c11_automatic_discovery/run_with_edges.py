"""Exercise `run_with_edges`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.shared import (
    ROUGH,
    Edges,
    all_edges,
    edge_run,
    pair,
    small_model,
    some_edges,
)
from circuits_course.checks.slips import slip
from circuits_course.circuits.discovery import run_with_edges as engine
from circuits_course.circuits.discovery import said_by

run_with_edges = Exercise(
    "run_with_edges",
    difficulty=4,
    importance=5,
    minutes=18,
    hints=[
        "A receiver always hears every sender before it. The only question, sender by sender, is "
        "which of its two outputs: the one in `now`, or the one in `other`.",
        "`heard` is asked three times for a head, once for each part: heard((layer, head, 'q')) "
        "and so on. The three streams go into head_says.",
        "now[s] if (s, receiver) in kept else other[s], for s in now.",
    ],
    tolerance=ROUGH,
)


@run_with_edges.cases
def _cases() -> Iterator[Case]:
    model = small_model()
    first = [("embed", (0, 1, "v")), ((0, 1), (1, 2, "q")), ((0, 1), "logits"), ((1, 2), "logits")]
    yield Case("four edges of two layers", model, *pair(2, 4, 1), first)
    yield Case("half of all edges", model, *pair(3, 5, 2), some_edges(model, 0.5, 1))
    deep = small_model(3, 2)
    yield Case("three layers", deep, *pair(2, 6, 3), some_edges(deep, 0.6, 2))
    yield Case("nine of ten edges", deep, *pair(3, 5, 4), some_edges(deep, 0.9, 3))
    yield Case("every edge", model, *pair(2, 5, 5), all_edges(model))
    yield Case("no edge", model, *pair(2, 5, 6), [])


@run_with_edges.oracle
def _oracle(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    """By the package's engine, which works on masks and differences."""
    return engine(model, clean, corrupted, kept)


@run_with_edges.prop
def logits_of_the_right_shape(logits: Any, model: Any, clean: Tensor, *_: Any) -> str | None:
    if not isinstance(logits, Tensor):
        return f"expected logits, got a {type(logits).__name__}"
    wanted = [*clean.shape, model.cfg.d_vocab]
    return None if list(logits.shape) == wanted else f"expected {wanted}, got {list(logits.shape)}"


@run_with_edges.wrong(
    "what is not kept is left out, so receivers hear less than they ever do. An edge that is cut "
    "goes on carrying something: what its sender says in the corrupted run."
)
def cut_means_silent(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    nothing = torch.zeros_like(said_by(model, clean)["embed"])

    def heard(receiver: Any, now: dict[Any, Tensor]) -> Tensor:
        terms = [now[s] for s in now if (s, receiver) in kept]
        return torch.stack([nothing, *terms]).sum(0)

    return edge_run(model, clean, heard)


@run_with_edges.wrong(
    "kept edges carry what senders say in the clean run, whatever these senders hear now. A sender "
    "that hears something else says something else: what it says follows from this very run."
)
def senders_frozen(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    ours, theirs = said_by(model, clean), said_by(model, corrupted)

    def heard(receiver: Any, now: dict[Any, Tensor]) -> Tensor:
        terms = [ours[s] if (s, receiver) in kept else theirs[s] for s in now]
        return torch.stack(terms).sum(0)

    return edge_run(model, clean, heard)


@run_with_edges.wrong(
    "kept and cut are exchanged: edges in `kept` are those that carry what is said now."
)
def kept_for_cut(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    others = [edge for edge in all_edges(model) if edge not in kept]
    return engine(model, clean, corrupted, others)


@run_with_edges.wrong(
    "the two prompts are exchanged: kept edges carry the clean prompt's values, the others the "
    "corrupted prompt's."
)
def prompts_exchanged(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    return engine(model, corrupted, clean, kept)


@run_with_edges.wrong(
    "an edge counts as kept if any edge from its sender is. Each receiver has its own: ask for the "
    "pair (sender, receiver)."
)
def whole_senders(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    speaking = {sender for sender, _ in kept}
    return engine(model, clean, corrupted, [e for e in all_edges(model) if e[0] in speaking])


@run_with_edges.wrong(
    "a head's queries, keys and values all read one stream. Ask `heard` for each of the three: "
    'heard((layer, head, "q")), and so on.'
)
def one_stream_for_a_head(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    def as_queries(receiver: Any) -> Any:
        return receiver if receiver == "logits" else (*receiver[:2], "q")

    asked = [(s, r) for s, r in all_edges(model) if (s, as_queries(r)) in kept]
    return engine(model, clean, corrupted, asked)


@run_with_edges.wrong(
    "the logits hear everybody as they are now. Edges to the logits are kept or cut like any other."
)
def logits_hear_all(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    return engine(
        model, clean, corrupted, [e for e in all_edges(model) if e[1] == "logits" or e in kept]
    )


@run_with_edges.wrong(
    "the embedding is always the clean one. Its edges are kept or cut, too: ask for "
    '("embed", receiver).'
)
def embedding_always_clean(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    return engine(
        model, clean, corrupted, [e for e in all_edges(model) if e[0] == "embed" or e in kept]
    )


@run_with_edges.wrong(
    "heads of one layer hear each other, as if they ran one after the other. Add a layer's heads "
    "to `now` when the whole layer is done."
)
def one_after_the_other(model: Any, clean: Tensor, corrupted: Tensor, kept: Edges) -> Tensor:
    other = said_by(model, corrupted)

    def heard(receiver: Any, now: dict[Any, Tensor]) -> Tensor:
        terms = [now[s] if (s, receiver) in kept else other[s] for s in now]
        return torch.stack(terms).sum(0)

    return edge_run(model, clean, heard, side_by_side=False)


slip(
    run_with_edges,
    "letters_not_heeded",
    "an edge into a head's queries, keys or values counts as kept if any of the three is. "
    "Ask for the very receiver: (sender, receiver).",
    (
        "terms = [now[s] if (s, receiver) in kept else other[s] for s in now]",
        "def is_kept(s):\n"
        '            if receiver == "logits":\n'
        "                return (s, receiver) in kept\n"
        '            return any((s, (*receiver[:2], part)) in kept for part in "qkv")\n'
        "\n"
        "        terms = [now[s] if is_kept(s) else other[s] for s in now]",
    ),
)


slip(
    run_with_edges,
    "queries_and_keys_exchanged",
    "queries hear what was kept for the keys, and keys what was kept for the queries. "
    "head_says takes them in the order q, k, v.",
    (
        'streams = [heard((layer, head, part)) for part in "qkv"]',
        'streams = [heard((layer, head, part)) for part in "kqv"]',
    ),
)


slip(
    run_with_edges,
    "values_and_keys_exchanged",
    "values hear what was kept for the keys, and keys what was kept for the values. "
    "head_says takes them in the order q, k, v.",
    (
        'streams = [heard((layer, head, part)) for part in "qkv"]',
        'streams = [heard((layer, head, part)) for part in "qvk"]',
    ),
)


slip(
    run_with_edges,
    "both_added",
    "a kept edge carries both, what is said now and what was said in the corrupted run. It "
    "carries one of the two.",
    (
        "terms = [now[s] if (s, receiver) in kept else other[s] for s in now]",
        "terms = [now[s] + other[s] if (s, receiver) in kept else other[s] for s in now]",
    ),
)


slip(
    run_with_edges,
    "clean_outside",
    "edges outside the circuit carry the clean run. They carry the corrupted run: only the "
    "circuit knows the clean prompt.",
    (
        "kept, other = set(kept), said_by(model, corrupted)",
        "kept, other = set(kept), said_by(model, clean)",
    ),
)


slip(
    run_with_edges,
    "kept_senders_only",
    "receivers hear the senders of kept edges alone, averaged. Sum over all senders.",
    ("return torch.stack(terms).sum(0)", "return torch.stack(terms).mean(0)"),
)


slip(
    run_with_edges,
    "logits_always_corrupted",
    "the logits hear the corrupted run alone. Edges to the logits are kept or cut like any other.",
    (
        "terms = [now[s] if (s, receiver) in kept else other[s] for s in now]",
        'terms = [now[s] if (s, receiver) in kept and receiver != "logits" else other[s] for s '
        "in now]",
    ),
)


slip(
    run_with_edges,
    "half_clean_outside",
    "edges outside the circuit carry the mean of both runs. They carry the corrupted run.",
    (
        "kept, other = set(kept), said_by(model, corrupted)",
        "clean_says, kept, other = said_by(model, clean), set(kept), said_by(model, corrupted)",
    ),
    (
        "terms = [now[s] if (s, receiver) in kept else other[s] for s in now]",
        "terms = [now[s] if (s, receiver) in kept else (other[s] + clean_says[s]) / 2 for s in "
        "now]",
    ),
)


slip(
    run_with_edges,
    "means_outside",
    "edges outside the circuit carry the corrupted run's mean over the batch. Each prompt "
    "has a corrupted one of its own.",
    (
        "terms = [now[s] if (s, receiver) in kept else other[s] for s in now]",
        "terms = [now[s] if (s, receiver) in kept else other[s].mean(0, "
        "keepdim=True).expand_as(other[s]) for s in now]",
    ),
)
