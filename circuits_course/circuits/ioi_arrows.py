"""The measured IOI circuit as a picture takes it: `plot_circuit(**measured_arrows(table))`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

S1, S2, END = "S1 + 1", "S2", "END"
SEE = "induction and duplicate token at S2"
ROADS = (  # from, to, what is read, and the path's name in the measured table
    ("previous token", "induction", "K", "previous token at S1+1, keys of induction"),
    ("induction", "S-inhibition", "V", f"{SEE}, values of S-inhibition"),
    ("induction", "S-inhibition", "K", f"{SEE}, keys of S-inhibition"),
    ("induction", "subject suppressor", "K", f"{SEE}, keys of suppressors"),
    ("S-inhibition", "subject suppressor", "Q", "S-inhibition at END, queries of suppressors"),
)
HEARERS = {"name mover": "name movers", "negative name mover": "negative name movers"}
WRITERS = ("name mover", "negative name mover", "subject suppressor")
PLACES = {"previous token": S1, "induction": S2}
WORDS = {"induction": "induction, duplicate token", "subject suppressor": "suppressor"}


def measured_arrows(table: Mapping[str, Any]) -> dict[str, Any]:
    """Heads, edges and lanes of a table by `measured_circuit`.

    A class is one circle, named by its first head and how many more there are; induction and
    duplicate-token heads, which were measured together, share one. An edge between classes is what
    the logit difference loses when the path is heard from ABC prompts; one to the logits is what
    the class writes there itself.
    """
    classes, mechanism = table["classes"], table["mechanism"]
    together = {**classes, "induction": [*classes["induction"], *classes["duplicate token"]]}
    names = {role: _circle(together[role]) for role in (*PLACES, "S-inhibition", *WRITERS)}
    edges = [
        (names[sender], names[receiver], -mechanism["paths between classes"][path][0], read)
        for sender, receiver, read, path in ROADS
    ]
    edges += [
        (names["S-inhibition"], names[role], -mechanism["who hears S-inhibition"][who][0], "Q")
        for role, who in HEARERS.items()
    ]
    for role in WRITERS:
        own = [table["heads"][head]["held out"]["direct"][0] for head in classes[role]]
        edges.append((names[role], "logits", sum(own), ""))
    return {
        "heads": {name: WORDS.get(role, role) for role, name in names.items()},
        "edges": edges,
        "lanes": {name: PLACES.get(role, END) for role, name in names.items()},
    }


def _circle(heads: Sequence[str]) -> str:
    return heads[0] if len(heads) == 1 else f"{heads[0]} +{len(heads) - 1}"
