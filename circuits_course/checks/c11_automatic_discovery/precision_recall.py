"""Exercise `precision_recall`."""

from __future__ import annotations

from collections.abc import Iterator

from circuits_course.checking import Case, Exercise
from circuits_course.checks.c11_automatic_discovery.shared import Edges, small_model, some_edges
from circuits_course.checks.slips import slip

precision_recall = Exercise(
    "precision_recall",
    difficulty=1,
    importance=4,
    minutes=4,
    hints=[
        "Both shares have the same numerator. Which edges are right: in `found`, and also where?",
        "Sets: found & planted holds what is in both.",
    ],
)

A, B, C, D = (((0, h), (1, 0, "k")) for h in range(4))
LOGITS = ((1, 0), "logits")
Shares = tuple[float, float]


@precision_recall.cases
def _cases() -> Iterator[Case]:
    yield Case("two of three planted edges, and two others", [A, LOGITS, C, D], [A, B, LOGITS])
    yield Case("one found, four planted", [A], [A, B, C, D])
    yield Case("six found, two planted", [A, B, C, D, LOGITS, ("embed", "logits")], [LOGITS, B])
    yield Case("one edge listed twice", [A, A, C], [A, B])
    yield Case("a planted edge listed twice", [A, C, D], [A, B, A])
    yield Case("nothing found", [], [A, B])
    yield Case("the same two heads through another part", [((0, 0), (1, 0, "q"))], [A])
    model = small_model()
    yield Case("many edges", some_edges(model, 0.5, 1), some_edges(model, 0.2, 2))


@precision_recall.oracle
def _oracle(found: Edges, planted: Edges) -> Shares:
    """By counting."""
    once = list(dict.fromkeys(found))
    hits = [edge for edge in once if edge in planted]
    return (len(hits) / len(once) if once else 0.0), len(hits) / len(dict.fromkeys(planted))


@precision_recall.wrong(
    "the two are exchanged: precision is a share of what was *found*, recall of what is *planted*."
)
def exchanged(found: Edges, planted: Edges) -> Shares:
    precision, recall = _oracle(found, planted)
    return recall, precision


@precision_recall.wrong(
    "both are divided by all edges in either list. That is the overlap of two sets, and one "
    "number; here misses and false alarms are told apart."
)
def overlap_twice(found: Edges, planted: Edges) -> Shares:
    share = len(set(found) & set(planted)) / len(set(found) | set(planted))
    return share, share


@precision_recall.wrong(
    "heads are compared and not edges: the same two heads may be joined through queries, keys or "
    "values, and these are different claims."
)
def joined_heads(found: Edges, planted: Edges) -> Shares:
    def heads(edges: Edges) -> Edges:
        return [(s, r if r == "logits" else r[:2]) for s, r in edges]

    return _oracle(heads(found), heads(planted))


@precision_recall.wrong("an edge that was found twice counts twice. Make sets of the lists.")
def duplicates_count(found: Edges, planted: Edges) -> Shares:
    hits = [edge for edge in found if edge in planted]
    return (len(hits) / len(found) if found else 0.0), len(hits) / len(planted)


@precision_recall.wrong(
    "these are shares of what is wrong: the false alarms among the found, the misses among the "
    "planted. Take what is in both."
)
def shares_of_mistakes(found: Edges, planted: Edges) -> Shares:
    precision, recall = _oracle(found, planted)
    return (1 - precision if found else 0.0), 1 - recall


slip(
    precision_recall,
    "f1_for_recall",
    "the second number is F1, the harmonic mean of the two. Asked is the recall.",
    (
        "return (both / len(found) if found else 0.0), both / len(planted)",
        "return (both / len(found) if found else 0.0), 2 * both / (len(found) + len(planted))",
    ),
)


slip(
    precision_recall,
    "nothing_is_precise",
    "of nothing found the precision is 0, not 1.",
    (
        "return (both / len(found) if found else 0.0), both / len(planted)",
        "return (both / len(found) if found else 1.0), both / len(planted)",
    ),
)


slip(
    precision_recall,
    "counts_for_shares",
    "these are counts. Divide by how many were found, and by how many are planted.",
    (
        "return (both / len(found) if found else 0.0), both / len(planted)",
        "return float(both), float(both)",
    ),
)


slip(
    precision_recall,
    "precision_twice",
    "both numbers are shares of what was found. Recall is a share of what is planted.",
    (
        "return (both / len(found) if found else 0.0), both / len(planted)",
        "return (both / len(found) if found else 0.0), (both / len(found) if found else 0.0)",
    ),
)


slip(
    precision_recall,
    "recall_twice",
    "both numbers are shares of what is planted. Precision is a share of what was found.",
    (
        "return (both / len(found) if found else 0.0), both / len(planted)",
        "return both / len(planted), both / len(planted)",
    ),
)


slip(
    precision_recall,
    "receivers_compared",
    "receivers alone were compared. An edge is a sender and a receiver.",
    ("both = len(found & planted)", "both = sum(e[1] in {p[1] for p in planted} for e in found)"),
)


slip(
    precision_recall,
    "senders_compared",
    "senders alone were compared. An edge is a sender and a receiver.",
    ("both = len(found & planted)", "both = sum(e[0] in {p[0] for p in planted} for e in found)"),
)


slip(
    precision_recall,
    "planted_twice_counts_twice",
    "an edge that is planted twice counts twice below. Listed twice it counts once: use the set.",
    (
        "found, planted = set(found), set(planted)",
        "found, listed = set(found), len(planted)\n    planted = set(planted)",
    ),
    (
        "both / len(planted)",
        "both / listed",
    ),
)
