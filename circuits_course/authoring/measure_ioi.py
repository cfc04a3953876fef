"""Measures a model's IOI circuit and writes it beside this file: `ioi_MODEL.json`.

    python -m circuits_course.authoring.measure_ioi smollm2-135m

Takes about 15 minutes on two cores. The scores are those of chapter 06's reference answers. A head
gets a class from what it looks at, what it writes and whom it talks to (`CLASSES`); it is in the
circuit if, besides, knocking it out alone moves the logit difference, or it moves it directly. The
circuit is then scored on prompts of other seeds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuits_course import load_model
from circuits_course.checks.references import load_reference
from circuits_course.circuits.heads import Head, head_name
from circuits_course.circuits.ioi import (
    MEASURED,
    KnockOuts,
    answer_directions,
    attention_between,
    name_tokens,
    other_heads,
    run_at_end,
    sizes,
)
from circuits_course.data.ioi import MIDDLES, TEMPLATES, IOIBatch, ioi_batch

SEEDS = (0, 1, 2, 3)
HELD_OUT = (4, 5, 6, 7)  # seeds on whose prompts the circuit is scored
SCORED = 16  # prompts of each of these, of one half of the templates and then of the other
PROMPTS = 32  # a seed; two of each template and order
MATTERS = 0.05  # logits: a head of the circuit moves the logit difference by at least this
PAIRS = {
    "END to IO": ("END", "IO"),
    "END to S1": ("END", "S1"),
    "END to S2": ("END", "S2"),
    "END to END": ("END", "END"),
    "S2 to S1": ("S2", "S1"),
    "S2 to S1+1": ("S2", "S1+1"),
    "S1+1 to S1": ("S1+1", "S1"),
}
Scores = dict[str, float]

CLASSES: dict[str, Callable[[Scores], bool]] = {
    "name mover": lambda h: h["END to IO"] > 0.25 and h["copies"] > 0.5 and h["direct"] > 0,
    "negative name mover": lambda h: h["END to IO"] > 0.25 and h["copies, negated"] > 0.5,
    "subject suppressor": lambda h: h["END to S2"] > 0.25 and h["copies, negated"] > 0.5,
    "S-inhibition": lambda h: h["to movers' queries"] < -MATTERS,
    "induction": lambda h: h["S2 to S1+1"] > 0.1,
    "duplicate token": lambda h: h["S2 to S1"] > 0.25,
    "previous token": lambda h: h["S1+1 to S1"] > 0.4,
    "writer at END, role open": lambda h: abs(h["direct"]) > 2 * MATTERS,
}
"""Class -> whether a head's scores make it one; a head takes the first class that fits."""

ROLE_POSITIONS = {
    "induction": ("S2",), "duplicate token": ("S2",), "previous token": ("S1+1",),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One seed's prompts, and what was measured on them."""

    batch: IOIBatch
    difference: Tensor  # [batch]
    p_io: float
    direct: Tensor  # [layer, head, batch]
    attention: dict[str, Tensor]  # [layer, head] each


def measure(name: str) -> dict[str, Any]:
    """The whole table of one model; see the module's text."""
    model, answers = load_model(name), load_reference("06_indirect_object_identification")
    samples = [_sample(model, answers, seed) for seed in SEEDS]
    movers = _movers(model, answers, samples)
    heads = _scores(model, answers, samples, movers)
    classes = _classes(heads)
    return {
        "model": name,
        "sizes": sizes(model),
        "command": f"python -m circuits_course.authoring.measure_ioi {name}",
        "evidence": {
            "seeds": list(SEEDS), "held-out seeds": list(HELD_OUT), "prompts a seed": PROMPTS,
            "prompts a held-out seed": SCORED, "templates": len(TEMPLATES),
            "a head matters from": MATTERS,
        },
        "task": _task(samples),
        "variants": _variants(model),
        "heads": _listed(samples, heads, classes),
        "classes": {c: [head_name(h) for h in found] for c, found in classes.items()},
        "circuit": [
            _criteria(model, answers, _held_out(model, seed), classes) for seed in HELD_OUT
        ],
    }  # fmt: skip


def _held_out(model: Any, seed: int) -> IOIBatch:
    half = len(TEMPLATES) // 2
    first = half * (seed % 2)
    return ioi_batch(model, SCORED, seed=seed, templates=range(first, first + half))


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _sample(model: Any, answers: Any, seed: int) -> Sample:
    _say(f"prompts of seed {seed}")
    batch = ioi_batch(model, PROMPTS, seed=seed)
    logits, cache = run_at_end(model, batch.tokens, batch.positions["END"])
    direction = answer_directions(model, batch.io, batch.s)
    looks = attention_between(model, batch.tokens, batch.positions, PAIRS.values())
    return Sample(
        batch,
        answers.logit_difference(logits, batch.io, batch.s),
        logits[:, -1].softmax(-1).gather(1, batch.io[:, None]).mean().item(),
        answers.attribute_heads(cache, direction),
        {what: looks[pair] for what, pair in PAIRS.items()},
    )


def _task(samples: list[Sample]) -> dict[str, Any]:
    everything = torch.cat([sample.difference for sample in samples])
    groups = torch.cat([sample.batch.groups for sample in samples])
    return {
        "logit difference": everything.mean().item(),
        "by seed": [sample.difference.mean().item() for sample in samples],
        "by template and order": [everything[groups == g].mean().item() for g in groups.unique()],
        "standard deviation over prompts": everything.std().item(),
        "accuracy": (everything > 0).float().mean().item(),
        "P(IO)": sum(sample.p_io for sample in samples) / len(samples),
    }


def _variants(model: Any) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for variant in MIDDLES:
        _say(f"variant {variant}")
        batches = [ioi_batch(model, PROMPTS, seed=seed, variant=variant) for seed in SEEDS]
        found[variant] = [batch.metric(model(batch.tokens)).item() for batch in batches]
    return found


def _mean(samples: list[Sample], what: str) -> Tensor:
    return torch.stack([sample.attention[what] for sample in samples]).mean(0)


def _direct(samples: list[Sample]) -> Tensor:
    return torch.cat([sample.direct for sample in samples], dim=-1).mean(-1)


def _copies(model: Any, answers: Any, samples: list[Sample], head: Head, sign: int) -> float:
    return answers.copy_score(model, head, name_tokens(model, samples[0].batch.names), sign)


def _looks_at_names(samples: list[Sample]) -> list[Head]:
    looks = sum(_mean(samples, f"END to {name}") for name in ("IO", "S1", "S2"))
    return [(layer, head) for layer, head in (torch.as_tensor(looks) > 0.25).nonzero().tolist()]


def _movers(model: Any, answers: Any, samples: list[Sample]) -> list[Head]:
    """Heads that copy the IO to the answer: the receivers of S-inhibition."""
    to_io, direct = _mean(samples, "END to IO"), _direct(samples)
    return [
        head
        for head in _looks_at_names(samples)
        if to_io[head] > 0.25
        and direct[head] > 0
        and _copies(model, answers, samples, head, 1) > 0.5
    ]


def _scores(
    model: Any, answers: Any, samples: list[Sample], movers: list[Head]
) -> dict[Head, Scores]:
    _say(f"paths to {movers}")
    small = ioi_batch(model, 16, seed=SEEDS[0])
    paths = answers.s_inhibition_effect(model, small, movers)
    reads_names = set(_looks_at_names(samples))
    F = KnockOuts(model, small)
    heads: dict[Head, Scores] = {}
    direct, looks = _direct(samples), {what: _mean(samples, what) for what in PAIRS}
    for head in sorted(F.heads):
        copies = {
            word: _copies(model, answers, samples, head, sign) if head in reads_names else 0.0
            for word, sign in (("copies", 1), ("copies, negated", -1))
        }
        heads[head] = {
            "direct": direct[head].item(),
            "to movers' queries": paths[head].item(),
            **copies,
            **{what: table[head].item() for what, table in looks.items()},
        }
    heads = {head: scores for head, scores in heads.items() if _fitting(scores)}
    for head, scores in heads.items():
        _say(f"knocked out {head_name(head)}")
        scores["knocked out"] = F(F.heads - {head}) - F(F.heads)
    return heads


def _fitting(scores: Scores) -> list[str]:
    return [name for name, fits in CLASSES.items() if fits(scores)]


def _classes(heads: dict[Head, Scores]) -> dict[str, list[Head]]:
    found: dict[str, list[Head]] = {name: [] for name in CLASSES}
    for head, scores in heads.items():
        if max(abs(scores["knocked out"]), abs(scores["direct"])) > MATTERS:
            found[_fitting(scores)[0]].append(head)
    strength = {head: -abs(scores["knocked out"]) for head, scores in heads.items()}
    return {name: sorted(members, key=strength.__getitem__) for name, members in found.items()}


def _listed(
    samples: list[Sample], heads: dict[Head, Scores], classes: dict[str, list[Head]]
) -> dict[str, dict[str, Any]]:
    """The circuit's heads with their scores, and how the direct one varies."""
    groups = torch.cat([sample.batch.groups for sample in samples])
    direct = torch.cat([sample.direct for sample in samples], dim=-1)
    listed: dict[str, dict[str, Any]] = {}
    for head in (head for members in classes.values() for head in members):
        by_group = [direct[head][groups == group].mean().item() for group in groups.unique()]
        listed[head_name(head)] = {
            **heads[head],
            "direct, by seed": [sample.direct[head].mean().item() for sample in samples],
            "direct, lowest and highest template": [min(by_group), max(by_group)],
        }
    return listed


def _criteria(
    model: Any, answers: Any, batch: IOIBatch, classes: dict[str, list[Head]]
) -> dict[str, Any]:
    _say("criteria")
    F = KnockOuts(model, batch)
    everything = set(F.heads)
    circuit = {head for members in classes.values() for head in members}
    at = {
        head: ROLE_POSITIONS.get(name, ("END",))
        for name, heads in classes.items()
        for head in heads
    }  # fmt: skip
    mates = {head: set(members) - {head} for members in classes.values() for head in members}
    return {
        "F(M)": F(everything),
        "F(C)": F(circuit),
        "F(nothing)": F(set()),
        "F(C), each head at its position": F.only(circuit, at),
        "F(as many other heads of the same layers)": F(other_heads(circuit, everything)),
        "faithfulness": answers.faithfulness(F, everything, circuit),
        "completeness": {
            name: answers.completeness(F, everything, circuit, set(members))
            for name, members in classes.items()
            if members
        },
        "model without": {n: F(everything - set(m)) for n, m in classes.items() if m},
        "minimality": {
            head_name(head): max(
                answers.minimality(F, circuit, head),
                answers.minimality(F, circuit, head, mates[head]),
            )
            for head in sorted(circuit)
        },
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value


def main(name: str) -> None:
    """Measures a model and writes its table, whole or not at all."""
    path = MEASURED / f"ioi_{name}.json"
    text = json.dumps(_rounded(measure(name)), indent=1)
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
    print(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m")
