"""Measures every method of discovery and writes `circuits/measured/discovery.json`.

    python -m circuits_course.authoring.measure_discovery [PART ...]

Parts are "planted", "sealed", "induction-2l", "ioi", "ioi-random", "ioi-exact"; those named are
measured anew and the others left as they are. All of them take about half an hour on two cores.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from circuits_course.authoring.measure_discovery.ioi import against_exact, controls, methods
from circuits_course.authoring.measure_discovery.judge import CONTROLS, FOUND
from circuits_course.authoring.measure_discovery.planted import (
    COSTS,
    MODELS,
    PROMPTS,
    by_kind,
    shipped,
    two_layers,
)
from circuits_course.circuits.discovery.judging import MEASURED
from circuits_course.storage import write_whole

PARTS = {
    "planted": by_kind,
    "sealed": shipped,
    "induction-2l": two_layers,
    "ioi": methods,
    "ioi-random": controls,
    "ioi-exact": against_exact,
}


def about() -> dict[str, Any]:
    """On what the table rests."""
    return {
        "command": "python -m circuits_course.authoring.measure_discovery",
        "evidence": {
            "models of each kind": MODELS, "prompts": PROMPTS, "controls a case": CONTROLS,
            "a find, share of the gap": FOUND, "true in induction-2l, nats": COSTS,
            "numbers": "mean and 95 % bootstrap interval over models, or draws of prompts",
        },
    }  # fmt: skip


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 3) + 0.0 if isinstance(value, float) else value


def main(parts: list[str]) -> None:
    """Measures these parts (default: all) and writes the table, whole or not at all."""
    path = MEASURED / "discovery.json"
    found = {part: PARTS[part](_say) for part in parts or PARTS}
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    table = about() | {part: found.get(part, before.get(part)) for part in PARTS}
    write_whole(path, (json.dumps(rounded(table)) + "\n").encode())
    print(path)


def _say(what: str) -> None:
    print(f"{time.strftime('%X')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
