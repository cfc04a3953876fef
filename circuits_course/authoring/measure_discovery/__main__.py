"""Measures every method of discovery and writes `circuits/measured/discovery.json`.

    python -m circuits_course.authoring.measure_discovery [PART | PART:NAME ...]

Parts are "planted" (kinds of circuit, those of the mysteries, in fresh models), "induction-2l"
(kinds of data) and "ioi" (SmolLM2). What is named is measured anew and the rest left as it is, so
that a run that was cut off can be taken up. All of it takes some ten minutes of one core.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from circuits_course.authoring.measure_discovery import ioi, planted
from circuits_course.authoring.measure_discovery.judge import CONTROLS, FOUND
from circuits_course.authoring.measured_tables import rounded
from circuits_course.circuits.discovery.judging import MEASURED
from circuits_course.circuits.discovery.tasks import INDUCTION_DATA
from circuits_course.mystery.making import KINDS
from circuits_course.storage import write_whole

PARTS: dict[str, dict[str, Callable[[], Any]]] = {
    "planted": {kind: partial(planted.by_kind, kind) for kind in KINDS},
    "induction-2l": {data: partial(planted.two_layers, data) for data in INDUCTION_DATA},
    "ioi": {
        **{name: partial(ioi.method, name) for name in ioi.FAST},
        "random": ioi.controls,
        "against exact": ioi.against_exact,
    },
}
PATH = MEASURED / "discovery.json"


def about() -> dict[str, Any]:
    """On what the table rests."""
    return {
        "command": "python -m circuits_course.authoring.measure_discovery",
        "evidence": {
            "models of each kind": planted.MODELS, "prompts": planted.PROMPTS,
            "controls a case": CONTROLS, "a find, share of the gap": FOUND,
            "true in induction-2l, nats": planted.COSTS,
            "ioi": f"asked on {ioi.PROMPTS} prompts, judged on {len(ioi.JUDGES)} x {ioi.HELD_OUT} "
            "of other templates",
            "numbers": "mean and 95 % bootstrap interval over models, or draws of prompts",
        },
    }  # fmt: skip


def keep(part: str, name: str, found: Any) -> None:
    """Puts one row into the table on disk."""
    before = json.loads(PATH.read_text(encoding="utf-8")) if PATH.is_file() else {}
    rows = before.get(part, {}) | {name: rounded(found)}
    before[part] = {name: rows[name] for name in PARTS[part] if name in rows}
    table = about() | {part: before[part] for part in PARTS if part in before}
    write_whole(PATH, (json.dumps(table) + "\n").encode())


def main(wanted: list[str]) -> None:
    """Measures these parts, or all, row by row."""
    for part, rows in PARTS.items():
        for name, measure in rows.items():
            if not wanted or {part, f"{part}:{name}"} & set(wanted):
                keep(part, name, measure())
                print(f"{time.strftime('%X')} {part}: {name}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
