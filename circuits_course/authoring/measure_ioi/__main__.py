"""Measures a model's IOI circuit and writes `circuits/measured/ioi_MODEL.json`.

    python -m circuits_course.authoring.measure_ioi smollm2-135m

About 15 minutes on two cores. Roles are given by `circuits.ioi_roles`, as in chapter 06.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch

from circuits_course import load_model
from circuits_course.authoring.measure_ioi.criteria import criteria
from circuits_course.authoring.measure_ioi.mechanism import mechanism
from circuits_course.authoring.measure_ioi.paper import write_paper
from circuits_course.authoring.measure_ioi.prompts import Prompts, spread
from circuits_course.authoring.measure_ioi.scores import (
    Measured,
    look_at,
    trace_again,
    trace_paths,
    worth_knocking_out,
)
from circuits_course.authoring.measured_tables import rounded
from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.ioi import MEASURED, sizes
from circuits_course.circuits.ioi_roles import LOOKS, MATTERS, ROLES, SEES, WRITES
from circuits_course.data.ioi import MIDDLES, ioi_batch

FOUND, HELD_OUT = ((0, 2, 4, 6), (0, 1, 2, 3)), ((1, 3, 5, 7), (4, 5))  # templates, seeds
BRIEF = (4,)  # of these seeds, those on whose prompts many sets of heads are scored


@torch.no_grad()
def measure(name: str) -> dict[str, Any]:
    """The whole table of one model."""
    model = load_model(name)
    found, held_out = Prompts(model, *FOUND), Prompts(model, *HELD_OUT)
    here, there = look_at(found), look_at(held_out)
    _say("attention, direct effects, copying")
    movers = here.roles()["name mover"]
    trace_paths(here, movers)
    _say("paths")
    candidates = worth_knocking_out(Prompts(model, FOUND[0], FOUND[1][:2]))
    _say(f"every head knocked out once; {len(candidates)} on all prompts")
    here.knock_out(candidates)
    roles = here.roles()
    circuit = [head for heads in roles.values() for head in heads]
    trace_again(there, movers, roles["S-inhibition"])
    there.knock_out(circuit)
    _say("the circuit's heads on held-out prompts")
    brief = Prompts(model, HELD_OUT[0], BRIEF)
    table = {
        "model": name, "sizes": sizes(model),
        "command": f"python -m circuits_course.authoring.measure_ioi {name}",
        "evidence": evidence({
            "found": found, "held out": held_out, "many sets scored": brief,
        }),
        "task": {"found": task(found), "held out": task(held_out)},
        "variants": variants(model),
        "classes": {role: [head_name(head) for head in heads] for role, heads in roles.items()},
        "heads": listed(here, there, roles),
        "missed, without a role": no_role(here, circuit),
        "circuit": criteria(held_out, brief, found, roles),
    }  # fmt: skip
    _say("criteria")
    table["mechanism"] = mechanism(held_out, roles)
    return table


def evidence(prompts: dict[str, Prompts]) -> dict[str, Any]:
    """On what the table rests, and the rule's thresholds."""
    return {
        **{
            what: {
                "templates": list(p.templates), "seeds": list(p.seeds), "prompts": len(p),
            }
            for what, p in prompts.items()
        },
        "rule": {
            "attention to the name read": LOOKS, "more than on ABC": SEES,
            "share of prompts copied": WRITES, "matters, logits": MATTERS,
        },
        "roles": {role: rule.asks for role, rule in ROLES.items()},
        "intervals": "95 %, bootstrap over pairs of prompts",
    }  # fmt: skip


def task(prompts: Prompts) -> dict[str, Any]:
    """How well the model does it."""
    difference = prompts.left(prompts.everything)

    def p_io(batch: Any) -> torch.Tensor:
        rows = torch.arange(len(batch.tokens))
        logits = prompts.model(batch.tokens)[rows, batch.positions["END"]]
        return logits.softmax(-1)[rows, batch.io]

    groups = prompts.groups
    return {
        "logit difference": spread(difference),
        "standard deviation over prompts": difference.std().item(),
        "by template and order": [difference[groups == g].mean().item() for g in groups.unique()],
        "accuracy": (difference > 0).float().mean().item(),
        "P(IO)": prompts.join(p_io).mean().item(),
    }


def variants(model: Any) -> dict[str, list[float]]:
    """The logit difference where the IO is said twice, and its control; all templates."""
    found = {}
    for variant in MIDDLES:
        batches = [ioi_batch(model, 32, seed=seed, variant=variant) for seed in (8, 9)]
        found[variant] = spread(torch.cat([b.metric.each()(model(b.tokens)) for b in batches]))
    return found


def listed(
    here: Measured, there: Measured, roles: dict[str, list[Head]]
) -> dict[str, dict[str, Any]]:
    """The circuit's heads with their scores on both kinds of prompts."""
    again = there.scores()
    table = {}
    for role, heads in roles.items():
        for head in heads:
            held_out = there.row(head)
            if role != "S-inhibition":  # other heads' paths were not traced again
                held_out.pop("to the movers", None)
            table[head_name(head)] = {
                "role": role, "found": here.row(head), "held out": held_out,
                "fits the role on held-out prompts": ROLES[role].fits(again[head]),
            }  # fmt: skip
    return table


def no_role(here: Measured, circuit: list[Head]) -> dict[str, list[float]]:
    """Heads outside the circuit whose knock-out moves the score by 0.1 logits or more, surely."""
    found = {}
    for head, values in here.knocked.items():
        mean, low, high = spread(values)
        if head not in circuit and abs(mean) > 2 * MATTERS and low * high > 0:
            found[head_name(head)] = [mean, low, high]
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


def main(name: str) -> None:
    """Measures a model and writes its table, whole or not at all."""
    path = MEASURED / f"ioi_{name}.json"
    text = json.dumps(rounded(measure(name)))
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
    print(path)
    if name == "smollm2-135m":
        for written in write_paper(json.loads(text)):
            print(written)


def _say(what: str) -> None:
    print(f"{time.strftime('%X')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m")
