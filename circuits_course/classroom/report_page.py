"""One HTML page on a class: who got what, which mistakes were commonest, where people stopped."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from circuits_course.checking.exercise import Exercise
from circuits_course.checking.outcome import Outcome
from circuits_course.checks import load_checks
from circuits_course.checks.chapters import CHAPTERS
from circuits_course.classroom.grading import Answer, Report
from circuits_course.storage import write_whole

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; }
th, td { border: 1px solid #bbb; padding: .25rem .5rem; text-align: left; vertical-align: top; }
th.exercise { writing-mode: vertical-rl; transform: rotate(180deg); }
td.passed { background: #dcefff; } td.wrong, td.crashed { background: #ffe6cc; }
td.number { text-align: right; } .wide { overflow-x: auto; }
"""
_WORDS = {
    Outcome.PASSED.name: "✔ passed",
    Outcome.WRONG.name: "✘ wrong",
    Outcome.CRASHED.name: "✘ crashed",
    Outcome.NOT_ATTEMPTED.name: "○ not tried",
}
_TRIED = (Outcome.PASSED.name, Outcome.WRONG.name, Outcome.CRASHED.name)


def write_page(reports: Sequence[Report], path: Path) -> Path:
    """Writes the page, whole or not at all; it needs nothing but itself. Returns its path."""
    write_whole(path, page(reports).encode())
    return path


def page(reports: Sequence[Report]) -> str:
    """The page as HTML. Everything that learners wrote is escaped."""
    parts = [_summary(reports), _troubles(reports)]
    by_chapter = _by_chapter(reports)
    parts += [_chapter(name, by_chapter[name]) for name in CHAPTERS if name in by_chapter]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Class report</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


Rows = dict[str, dict[str, Answer]]
"""Learner -> exercise -> answer."""


def _by_chapter(reports: Iterable[Report]) -> dict[str, Rows]:
    """A learner's files on the same chapter count together; the best answer stands."""
    chapters: dict[str, Rows] = defaultdict(dict)
    for report in reports:
        if report.chapter:
            chapters[report.chapter].setdefault(report.learner, {})
        for name, answer in report.answers.items():
            chapter, exercise = _place(report, name)
            row = chapters[chapter].setdefault(report.learner, {})
            row[exercise] = _better(row.get(exercise), answer)
    return chapters


def _place(report: Report, name: str) -> tuple[str, str]:
    """A progress file holds several chapters and names each."""
    if report.chapter:
        return report.chapter, name
    chapter, exercise = name.split(": ", 1)
    return chapter, exercise


def _better(one: Answer | None, other: Answer) -> Answer:
    if one is None:
        return other
    order = list(_WORDS)
    return min(one, other, key=lambda answer: order.index(answer.outcome))


def _summary(reports: Sequence[Report]) -> str:
    learners = {report.learner for report in reports}
    return (
        f"<h1>Class report</h1><p>{len(learners)} learners, {len(reports)} files, "
        f"{sum(bool(report.trouble) for report in reports)} of them with trouble.</p>"
    )


def _troubles(reports: Sequence[Report]) -> str:
    rows = [
        [escape(report.learner), escape(report.file), escape(line)]
        for report in reports
        for line in report.trouble
    ]
    if not rows:
        return ""
    return "<h2>Files with trouble</h2>" + _table(["learner", "file", "what happened"], rows)


def _chapter(name: str, rows: Rows) -> str:
    exercises = load_checks(name).exercises
    return (
        f"<h2>{name[:2]} {escape(CHAPTERS[name])}</h2>"
        + _grid(rows, list(exercises))
        + _mistakes(rows, exercises)
        + _stops(rows, list(exercises))
    )


# --- who got what ------------------------------------------------------------------------------


def _grid(rows: Rows, exercises: list[str]) -> str:
    head = ["learner", "passed", *exercises]
    body = []
    for learner in sorted(rows, key=_as_people_sort):
        answers = rows[learner]
        passed = sum(a.outcome == Outcome.PASSED.name for a in answers.values())
        cells = [_cell(answers.get(exercise)) for exercise in exercises]
        body.append(f"<tr><th>{escape(learner)}</th><td class=number>{passed}</td>"
                    f"{''.join(cells)}</tr>")  # fmt: skip
    titles = "".join(f'<th class="{"exercise" if h in exercises else ""}">{escape(h)}</th>'
                     for h in head)  # fmt: skip
    foot = _share_of_passed(rows, exercises)
    return (
        '<div class="wide"><table><caption>Who got what</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody>{foot}</table></div>"
    )


def _cell(answer: Answer | None) -> str:
    outcome = answer.outcome if answer else Outcome.NOT_ATTEMPTED.name
    title = f' title="{escape(answer.text, quote=True)}"' if answer and answer.text else ""
    return f'<td class="{outcome.lower()}"{title}>{_WORDS.get(outcome, escape(outcome))}</td>'


def _share_of_passed(rows: Rows, exercises: list[str]) -> str:
    cells = []
    for exercise in exercises:
        passed = sum(
            exercise in row and row[exercise].outcome == Outcome.PASSED.name
            for row in rows.values()
        )
        cells.append(f"<td class=number>{passed} of {len(rows)}</td>")
    return f"<tfoot><tr><th>passed by</th><td></td>{''.join(cells)}</tr></tfoot>"


# --- misconceptions ----------------------------------------------------------------------------


def _mistakes(rows: Rows, exercises: dict[str, Exercise]) -> str:
    table = []
    for name, exercise in exercises.items():
        failed = [row[name] for row in rows.values() if name in row]
        failed = [a for a in failed if a.outcome in (Outcome.WRONG.name, Outcome.CRASHED.name)]
        for diagnosis, count in Counter(a.diagnosis for a in failed).most_common():
            table.append([name, f"{count}", _because(exercise, diagnosis)])
    if not table:
        return "<p>No wrong answers.</p>"
    return _table(["exercise", "learners", "what they believe, as far as is known"], table,
                  "The commonest mistakes")  # fmt: skip


def _because(exercise: Exercise, diagnosis: str | None) -> str:
    for wrong in exercise.wrong_answers:
        if wrong.name == diagnosis:
            return escape(wrong.because)
    return "no mistake on file"


# --- where people stopped ----------------------------------------------------------------------


def _stops(rows: Rows, exercises: list[str]) -> str:
    """The last exercise that each learner tried."""
    last: Counter[str] = Counter()
    for answers in rows.values():
        tried = [e for e in exercises if e in answers and answers[e].outcome in _TRIED]
        last[tried[-1] if tried else "nothing tried"] += 1
    table = [[escape(e), f"{last[e]}"] for e in ["nothing tried", *exercises] if last[e]]
    return _table(["last exercise tried", "learners"], table, "Where people stopped")


def _as_people_sort(name: str) -> list[tuple[int, str]]:
    """Numbers within names by their size: ann_2 before ann_10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of cells that are HTML already."""
    titles = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    lead = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{lead}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
