"""Every head's scores on some prompts, and the roles that the rule gives them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from circuits_course.authoring.measure_ioi.prompts import Each, Prompts, intervals, means, spread
from circuits_course.circuits.heads import Head
from circuits_course.circuits.ioi_roles import (
    MATTERS,
    Scores,
    name_readers,
    roles_of,
    scores_by_head,
)


@dataclass
class Measured:
    """What was measured of the heads on some prompts; `knocked` holds single knock-outs."""

    prompts: Prompts
    looks: dict[str, Tensor]
    direct: Tensor
    copies: dict[str, dict[Head, Each]]
    paths: dict[str, Tensor] = field(default_factory=dict)
    knocked: dict[Head, Each] = field(default_factory=dict)

    def scores(self) -> dict[Head, Scores]:
        """Means, and upper ends of the intervals where the rule asks for them."""
        tables: dict[str, Any] = {
            **means(self.looks),
            "direct": self.direct.mean(-1),
            **self.copies,
        }
        for what, path in self.paths.items():
            tables |= {what: path.mean(-1), f"{what}, high": intervals(path)[1]}
        if self.knocked:
            all_knocked = torch.stack(list(self.knocked.values()))
            for what, values in (
                ("knocked out", all_knocked.mean(-1)),
                ("knocked out, high", intervals(all_knocked)[1]),
            ):
                tables[what] = dict(zip(self.knocked, values.tolist(), strict=True))
        return scores_by_head(tables)

    def roles(self) -> dict[str, list[Head]]:
        return roles_of(self.scores())

    def knock_out(self, heads: Iterable[Head]) -> None:
        """Knocks heads out one at a time."""
        whole = self.prompts.left(self.prompts.everything)
        for head in heads:
            self.knocked[head] = self.prompts.without({head}) - whole

    def row(self, head: Head) -> dict[str, list[float]]:
        """A head's scores with their intervals."""
        tables: dict[str, Any] = {**self.looks, "direct": self.direct, **self.paths}
        values = {what: table[head] for what, table in tables.items()}
        values |= {what: heads[head] for what, heads in self.copies.items() if head in heads}
        if head in self.knocked:
            values["knocked out"] = self.knocked[head]
        return {what: spread(value) for what, value in values.items()}


def look_at(prompts: Prompts) -> Measured:
    """Attention, direct effects and what readers of names write."""
    looks = prompts.looks()
    readers = name_readers(means(looks))
    return Measured(prompts, looks, prompts.direct(), prompts.copies(readers))


def trace_paths(measured: Measured, movers: Collection[Head]) -> None:
    """Every head's path from END into the movers' queries."""
    if movers:
        queries = [(*head, "q") for head in movers]
        measured.paths["to the movers"] = measured.prompts.paths(queries, "END")


def trace_again(measured: Measured, movers: Collection[Head], senders: Collection[Head]) -> None:
    """The same for a few senders; the others count as 0."""
    path = torch.zeros_like(measured.direct)
    for head in senders:
        queries = [(*mover, "q") for mover in movers]
        path[head] = measured.prompts.path([head], queries, "END")
    measured.paths["to the movers"] = path


def worth_knocking_out(prompts: Prompts) -> list[Head]:
    """Heads whose knock-out moves the score on a first look at these prompts."""
    whole = prompts.left(prompts.everything)
    moves = {head: (prompts.without({head}) - whole).mean() for head in sorted(prompts.everything)}
    return [head for head, value in moves.items() if abs(value) > MATTERS / 2]
