"""A claim with its grading as a picture takes it: `plots.plot_circuit(**claim_arrows(claim))`."""

from __future__ import annotations

from typing import Any

from circuits_course.circuits.heads import head_name
from circuits_course.mystery.claims import Claim
from circuits_course.mystery.grading import right_edges
from circuits_course.mystery.sealing import Mystery
from circuits_course.mystery.shelf import load_mystery


def claim_arrows(claim: Claim, mystery: Mystery | None = None) -> dict[str, Any]:
    """Heads with their roles, and claimed edges with 1 where they carry something, -1 where not.

    Edges that are missing are not in it, nor is a verdict on the roles: the picture tells no more
    than the grade does. mystery: the model, where it is not one of those that are shipped.
    """
    right = right_edges(mystery or load_mystery(claim.mystery), claim)
    edges = []
    for sender, receiver in claim.edges:
        mark = 1 if (sender, receiver) in right else -1
        if isinstance(receiver, str):
            edges.append((head_name(sender), receiver, mark, VERDICTS[mark]))
        else:
            layer, head, letter = receiver
            label = f"{letter.upper()} {VERDICTS[mark]}"
            edges.append((head_name(sender), head_name((layer, head)), mark, label))
    return {"heads": {head_name(h): role for h, role in claim.circuit.items()}, "edges": edges}


VERDICTS = {1: "right", -1: "wrong"}
