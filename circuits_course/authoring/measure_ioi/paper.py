"""The short paper `docs/MODEL_ioi.md` from a measured table: text, tables, figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from circuits_course.authoring.measure_ioi.figure import draw_circuit
from circuits_course.circuits.ioi_signals import SIGNALS
from circuits_course.page.numbers import signed

DOCS = Path(__file__).parents[3] / "docs"
TEXT = Path(__file__).with_name("paper.md")
MEANING = {1: "true", -1: "false", 0: "none"}


def paper(table: Mapping[str, Any]) -> str:
    """The page, in Markdown."""
    fields = {**_task(table), **_roads(table), **_methods(table), **_tables(table)}
    return Template(TEXT.read_text(encoding="utf-8")).substitute(fields)


def write_paper(table: Mapping[str, Any]) -> list[Path]:
    """Writes page and figure of a table into `docs/`; returns their paths."""
    page, picture = DOCS / "smollm2_ioi.md", DOCS / "images" / f"ioi_{table['model']}.svg"
    page.write_text(paper(table), encoding="utf-8")
    draw_circuit(table, picture)
    return [page, picture]


def number(values: Iterable[float]) -> str:
    """A mean and its interval."""
    mean, low, high = values
    return f"{signed(mean)} [{signed(low)}, {signed(high)}]"


def rows(head: Iterable[str], body: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(map(str, row)) for row in body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _task(table: Mapping[str, Any]) -> dict[str, str]:
    task, circuit = table["task"]["held out"], table["circuit"]
    share = circuit["F(C)"][0] / circuit["F(M)"][0]
    controls = circuit["random circuits of the same layers"]
    n_heads = table["sizes"]["n_layers"] * table["sizes"]["n_heads"]
    return {
        "model": table["model"], "command": table["command"],
        "finding_task": (
            "On held-out prompts the model puts the IO above the subject in "
            f"{task['accuracy']:.0%}, by {number(task['logit difference'])} logits, with P(IO) "
            f"{task['P(IO)']:.2f}. {len(table['heads'])} of {n_heads} heads keep {share:.0%} of it "
            f"({number(circuit['F(C)'])} of {number(circuit['F(M)'])}); the best of "
            f"{len(controls)} random circuits of the same layers keeps "
            f"{max(controls) / circuit['F(M)'][0]:.0%}."
        ),
    }  # fmt: skip


def _roads(table: Mapping[str, Any]) -> dict[str, str]:
    classes, mechanism = table["classes"], table["mechanism"]
    suppressor = classes["subject suppressor"][0]
    parts = mechanism["suppressor: pattern or values"][suppressor]
    open_heads = classes["writer at END, role open"]
    direct = {head: row["held out"]["direct"][0] for head, row in table["heads"].items()}
    return {
        "inhibition": _and(classes["S-inhibition"]), "movers": _and(classes["name mover"]),
        "negative": _and(classes["negative name mover"]), "suppressor": suppressor,
        "movers_cost": number(_change(table, "name mover")),
        "suppressor_direct": number(table["heads"][suppressor]["held out"]["direct"]),
        "suppressor_kept": number(parts["other pattern"]),
        "suppressor_whole": number(parts["whole"]),
        "signals": _fit(mechanism["what S-inhibition says"]),
        "suppressor_signals": _fit(mechanism["what suppressors say"]),
        "open_direct": f"{signed(sum(direct[head] for head in open_heads))}",
    }  # fmt: skip


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _fit(signals: Mapping[str, Any]) -> str:
    return f"place {signed(signals['position'])}, name {signed(signals['token'])} logits"


def _change(table: Mapping[str, Any], role: str) -> list[float]:
    return table["circuit"]["cost of a class"][role]


def _methods(table: Mapping[str, Any]) -> dict[str, str]:
    evidence = table["evidence"]
    fields = {"search_n": "16"}
    for key, what in (
        ("found", "found"),
        ("held", "held out"),
        ("brief", "many sets scored"),
    ):
        used = evidence[what]
        fields |= {
            f"{key}_templates": ", ".join(map(str, used["templates"])),
            f"{key}_seeds": ", ".join(map(str, used["seeds"])),
            f"{key}_n": str(used["prompts"]),
        }
    fields["rule"] = ", ".join(f"{what} {value}" for what, value in evidence["rule"].items())
    fields["rule_table"] = rows(("role", "asks"), evidence["roles"].items())
    return fields


def _tables(table: Mapping[str, Any]) -> dict[str, str]:
    circuit, mechanism = table["circuit"], table["mechanism"]
    greedy = circuit["completeness"]["greedy"]
    return {
        "heads_table": _heads(table),
        "no_role": "; ".join(
            f"{head} {number(values)}" for head, values in table["missed, without a role"].items()
        ) or "none",
        "criteria_table": _criteria(circuit),
        "class_table": rows(
            ("class", "F(M without it) - F(M)", "completeness"),
            [(role, number(cost), number(circuit["completeness"]["by class"][role]))
             for role, cost in circuit["cost of a class"].items()],
        ),
        "greedy_K": ", ".join(greedy["K"]), "greedy_gap": number(greedy["held out"]),
        "listeners_table": _plain(mechanism["who hears S-inhibition"], "who hears"),
        "upstream_table": _plain(mechanism["paths between classes"], "senders, and what listens"),
        "together_table": _plain(mechanism["knocked out together"], "gone already"),
        "signals_table": _signals(mechanism),
    }  # fmt: skip


def _plain(values: Mapping[str, Any], what: str) -> str:
    return rows((what, "logits"), [(name, number(value)) for name, value in values.items()])


def _heads(table: Mapping[str, Any]) -> str:
    def line(head: str, row: Mapping[str, Any]) -> list[str]:
        held = row["held out"]
        looks = {
            "S-inhibition": "END to S2", "induction": "S2 to S1+1", "duplicate token": "S2 to S1",
            "previous token": "S1+1 to S1", "subject suppressor": "END to S2",
            "subject mover": "END to S1", "writer at END, role open": "END to END",
        }.get(row["role"], "END to IO")  # fmt: skip
        return [
            head, row["role"], looks, f"{held[looks][0]:.2f}", f"{held[looks + ', ABC'][0]:.2f}",
            number(held["direct"]), number(held["knocked out"]),
            number(table["circuit"]["minimality"][head]),
            "yes" if row["fits the role on held-out prompts"] else "no",
        ]  # fmt: skip

    return rows(
        ("head", "role", "looks", "attention", "on ABC", "direct effect", "knocked out",
         "to the circuit", "again"),
        [line(head, row) for head, row in table["heads"].items()],
    )  # fmt: skip


def _criteria(circuit: Mapping[str, Any]) -> str:
    controls = circuit["random circuits of the same layers"]
    halves = [abs(value) for value in circuit["completeness"]["random halves"]]
    greedy = circuit["completeness"]["greedy"]
    names = ("F(M)", "F(C)", "F(C), each head at its position", "F(no heads)", "F(M without C)")
    body = [(name, number(circuit[name])) for name in names]
    body += [
        ("F(M) - F(C)", number(circuit["faithfulness"])),
        (
            f"F of {len(controls)} random circuits",
            f"{signed(min(controls))} to {signed(max(controls))}",
        ),
        (
            f"completeness, {len(halves)} random halves of C as K",
            f"{min(halves):.2f} to {max(halves):.2f}",
        ),
        (
            "completeness, greedy K, where it was searched",
            f"{signed(greedy['where it was searched'])}",
        ),
        ("completeness, greedy K, held out", number(greedy["held out"])),
    ]
    return rows(("what", "logits"), body)


def _signals(mechanism: Mapping[str, Any]) -> str:
    ours, theirs = mechanism["what S-inhibition says"], mechanism["what suppressors say"]
    signs = {"clean": (1, 1), **SIGNALS}
    return rows(
        ("place", "name", "S-inhibition says it", "the suppressor says it"),
        [(MEANING[signs[how][0]], "another" if how.startswith("new") else MEANING[signs[how][1]],
          number(ours["logit difference"][how]), number(theirs["logit difference"][how]))
         for how in signs],
    )  # fmt: skip
