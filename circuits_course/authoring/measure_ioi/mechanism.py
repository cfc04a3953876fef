"""How the circuit's parts talk: who hears S-inhibition, what it says, what the suppressors need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product
from typing import Any

import torch

from circuits_course.authoring.measure_ioi.prompts import Prompts, spread
from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.ioi_signals import (
    direct_effects_without,
    fit_signals,
    heard_instead,
    pattern_and_values,
    signal_table,
)

Roles = Mapping[str, Collection[Head]]


def mechanism(prompts: Prompts, roles: Roles) -> dict[str, Any]:
    """All of it; parts without heads of their role are left out."""
    found: dict[str, Any] = {}
    if roles["S-inhibition"]:
        found["who hears S-inhibition"] = listeners(prompts, roles)
        found["what S-inhibition says"] = signals(prompts, roles["S-inhibition"])
    if roles["subject suppressor"]:
        found["suppressor: pattern or values"] = suppression(prompts, roles["subject suppressor"])
        found["what suppressors say"] = signals(prompts, roles["subject suppressor"])
    if roles["name mover"]:
        found["without the movers"] = backups(prompts, roles)
    found["paths between classes"] = upstream(prompts, roles)
    found["knocked out together"] = together(prompts, roles)
    return found


def listeners(prompts: Prompts, roles: Roles) -> dict[str, list[float]]:
    """Change of the score when some queries hear S-inhibition at END from ABC prompts."""
    senders = list(roles["S-inhibition"])
    last, n_heads = prompts.model.cfg.n_layers, prompts.model.cfg.n_heads
    first = min(layer for layer, _ in senders) + 1
    later = [(layer, h) for layer in range(first, last) for h in range(n_heads)]
    movers, negative = roles["name mover"], roles["negative name mover"]
    receivers = {
        "name movers": movers, "negative name movers": negative,
        "name movers and negative ones": [*movers, *negative],
        "subject suppressors": roles["subject suppressor"],
        "every later head": [head for head in later if head not in senders],
        "every later head but name movers": [
            head for head in later if head not in {*senders, *movers}
        ],
    }  # fmt: skip
    found = {
        who: spread(prompts.path(senders, [(*head, "q") for head in heads], "END"))
        for who, heads in receivers.items()
        if heads
    }
    found["the logits themselves"] = spread(prompts.path(senders, "logits", "END"))
    changes = [
        heard_instead(prompts.model, batch, senders, abc) - F.each(F.heads)
        for batch, abc, F in zip(prompts.batches, prompts.abc, prompts.engines, strict=True)
    ]
    found["everything after them"] = spread(torch.cat(changes))
    return found


def signals(prompts: Prompts, heads: Collection[Head]) -> dict[str, Any]:
    """The logit difference when these heads say at END what other prompts make them say."""
    tables = [
        signal_table(prompts.model, batch, heads, seed)
        for batch, seed in zip(prompts.batches, prompts.seeds, strict=True)
    ]
    joined = {how: torch.cat([table[how] for table in tables]) for how in tables[0]}
    seeds = [fit_signals(table) for table in tables]
    position, token, constant = fit_signals(joined)
    return {
        "heads": [head_name(head) for head in heads],
        "logit difference": {how: spread(values) for how, values in joined.items()},
        "position": position, "token": token, "constant": constant,
        "by seed": [[p, t] for p, t, _ in seeds],
    }  # fmt: skip


def upstream(prompts: Prompts, roles: Roles) -> dict[str, list[float]]:
    """Paths of whole classes, and of all heads at a place, into classes: from ABC prompts."""
    seen = [*roles["induction"], *roles["duplicate token"]]
    told, suppressors = roles["S-inhibition"], roles["subject suppressor"]
    paths = {
        "previous token at S1+1, keys of induction": (
            roles["previous token"], roles["induction"], "k", "S1+1",
        ),
        "induction and duplicate token at S2, values of S-inhibition": (seen, told, "own v", "S2"),
        "induction and duplicate token at S2, keys of S-inhibition": (seen, told, "k", "S2"),
        "induction and duplicate token at S2, keys of suppressors": (seen, suppressors, "k", "S2"),
        "all heads at S2, keys of suppressors": (None, suppressors, "k", "S2"),
        "all heads at S2, values of suppressors": (None, suppressors, "own v", "S2"),
        "all heads at END, queries of suppressors": (None, suppressors, "q", "END"),
        "S-inhibition at END, queries of suppressors": (told, suppressors, "q", "END"),
    }  # fmt: skip
    found = {}
    for name, (senders, receivers, part, at) in paths.items():
        last = max((layer for layer, _ in receivers), default=0)
        heads = senders if senders is not None else prompts.everything
        heads = [head for head in heads if head[0] < last]
        if heads:
            listens = [_receiver(prompts, head, part) for head in receivers]
            found[name] = spread(prompts.path(heads, listens, at))
    return found


def _receiver(prompts: Prompts, head: Head, part: str) -> tuple[int, int, str]:
    """A head's part as path patching names it: of keys, the one of its group."""
    stages = prompts.engines[0].ablation.stages
    index = head[1] * stages.n_kv_heads // stages.n_heads if part == "k" else head[1]
    return head[0], index, part


def suppression(prompts: Prompts, heads: Collection[Head]) -> dict[str, Any]:
    """Suppressors' direct effect with pattern, or values, of prompts without a repetition."""
    found = {}
    for head in heads:
        tables = [
            pattern_and_values(prompts.model, batch, head, abc)
            for batch, abc in zip(prompts.batches, prompts.abc, strict=True)
        ]
        found[head_name(head)] = {
            how: spread(torch.cat([table[how] for table in tables])) for how in tables[0]
        }
    return found


def backups(prompts: Prompts, roles: Roles) -> dict[str, Any]:
    """Direct effects when the movers are silent, the final norm's scale held."""
    movers = roles["name mover"]
    before, after = (
        torch.stack([direct_effects_without(prompts.model, F, gone) for F in prompts.engines])
        for gone in ([], movers)
    )
    change = (after - before).mean(0)
    lost = sum(change[head].item() for head in movers)
    for head in movers:
        change[head] = 0.0
    order = change.abs().flatten().argsort(descending=True)[:6].tolist()
    return {
        "lost by the movers": lost,
        "made good by other heads": change.sum().item(),
        "by negative name movers": sum(change[h].item() for h in roles["negative name mover"]),
        "largest changes": {
            head_name(divmod(i, change.shape[1])): change.flatten()[i].item() for i in order
        },
    }


def together(prompts: Prompts, roles: Roles) -> dict[str, list[float]]:
    """What S-inhibition costs when name movers, negative ones or suppressors are gone."""
    base = ("name mover", "negative name mover", "subject suppressor")
    whole, found = prompts.everything, {}
    for on in product((False, True), repeat=len(base)):
        names = [role for role, gone in zip(base, on, strict=True) if gone]
        gone = {head for role in names for head in roles[role]}
        cost = prompts.left(whole - gone - set(roles["S-inhibition"])) - prompts.left(whole - gone)
        found[" and ".join(names) or "nothing else"] = spread(cost)
    return found
