"""One HTML page on a class: on top who is stuck where, and with which idea; then all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from circuits_course.checking.outcome import Outcome
from circuits_course.checks import load_checks
from circuits_course.checks.chapters import CHAPTERS
from circuits_course.classroom.names import Roster
from circuits_course.classroom.overview import (
    ChapterView,
    Overview,
    Stumble,
    Work,
    all_works,
    as_people_sort,
    overview,
)
from circuits_course.classroom.reports import Report
from circuits_course.page.messages import marked, unmarked
from circuits_course.storage import write_whole

HEADLINES = 5
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; }
th, td { border: 1px solid #bbb; padding: .25rem .5rem; text-align: left; vertical-align: top; }
th.exercise { writing-mode: vertical-rl; transform: rotate(180deg); }
td.passed { background: #dcefff; } td.wrong { background: #ffe6cc; }
td.crashed { background: #f5d7e3; }
td.passed, td.wrong, td.crashed, td.not_attempted { white-space: nowrap; }
td.number { text-align: right; } .wide { overflow-x: auto; }
small { display: block; color: #555; } .headline li { margin: .5rem 0; } .who { color: #555; }
pre { white-space: pre-wrap; margin: .2rem 0; }
"""
WORDS = {
    Outcome.PASSED.name: "✔ passed",
    Outcome.WRONG.name: "✘ wrong",
    Outcome.CRASHED.name: "✘ crashed",
    Outcome.NOT_ATTEMPTED.name: "○ not tried",
}


def write_page(
    reports: Sequence[Report], path: Path, *, roster: Roster | None = None, held: str = ""
) -> Path:
    """Writes the page, whole or not at all; it needs nothing but itself. Returns its path."""
    write_whole(path, page(reports, roster=roster, held=held).encode())
    return path


def page(reports: Sequence[Report], *, roster: Roster | None = None, held: str = "") -> str:
    """The page as HTML. Everything that learners wrote is escaped.

    roster: the people of the class, to list who is missing. held: what confined learners' code.
    """
    found = overview(reports, roster)
    parts = [_summary(found, held), _headline(found), _people(found), _troubles(reports)]
    parts.append(several_files(found, found.several))
    parts += [_chapter(view) for view in found.chapters]
    return html_page("Class report", [*parts, _sentences(found)])


def html_page(title: str, parts: Iterable[str]) -> str:
    """A page that needs nothing but itself."""
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


# --- in one minute ----------------------------------------------------------------------------


def _summary(found: Overview, held: str) -> str:
    trouble = sum(bool(report.trouble) for report in found.reports)
    return (
        f"<h1>Class report</h1><p>{len(found.learners)} learners, {len(found.reports)} files, "
        f"{trouble} of them with trouble. {escape(held)}</p>"
    )


def _headline(found: Overview) -> str:
    """The commonest mistakes of all, each with its count and names; then where people stand."""
    items = [_headline_of(stumble) for stumble in found.stumbles()[:HEADLINES]]
    stuck = [
        (len(learners), view.name[:2], exercise, learners)
        for view in found.chapters
        for exercise, learners in view.stops()
    ]
    for count, chapter, exercise, learners in sorted(stuck, key=lambda s: -s[0])[:2]:
        items.append(
            f"<strong>{count}</strong> have not got past {chapter} <code>{exercise}</code>: "
            f"{_names(learners)}"
        )
    if not items:
        return ""
    return f'<h2>In one minute</h2><ul class="headline"><li>{"</li><li>".join(items)}</li></ul>'


def _headline_of(stumble: Stumble) -> str:
    return (
        f"<strong>{len(stumble.learners)} of {stumble.out_of}</strong>, "
        f"{stumble.chapter[:2]} <code>{stumble.exercise}</code>: {marked(stumble.what)} "
        f"{_names(stumble.learners)}"
    )


def _names(learners: Sequence[str]) -> str:
    """Each apart from the next, in whatever direction it is written."""
    names = ", ".join(f"<bdi>{escape(name)}</bdi>" for name in learners)
    return f'<span class="who">{names}</span>'


def _people(found: Overview) -> str:
    lines = []
    if found.missing:
        lines.append(f"<p>Nothing came from {len(found.missing)}: {_names(found.missing)}</p>")
    if found.unnamed:
        lines.append(f"<p>Not on the roster: {_names(found.unnamed)}</p>")
    return f"<h2>Who is missing</h2>{''.join(lines)}" if lines else ""


def _troubles(reports: Sequence[Report]) -> str:
    rows = [
        [escape(report.learner), escape(report.file), escape(line)]
        for report in reports
        for line in report.trouble
    ]
    if not rows:
        return ""
    return "<h2>Files with trouble</h2>" + _table(["learner", "file", "what happened"], rows)


def several_files(found: Overview, keys: Iterable[tuple[str, str]]) -> str:
    """Which files somebody handed in on one chapter, and which of them counts."""
    rows = [
        [f"<bdi>{escape(learner)}</bdi>", chapter[:2], escape(", ".join(found.several[key]))]
        for key in sorted(keys)
        for learner, chapter in [key]
    ]
    if not rows:
        return ""
    lead = "Of each exercise one that passed counts, else the last that was tried, in this order."
    return f"<h2>Several files</h2><p>{lead}</p>" + _table(["learner", "chapter", "files"], rows)


# --- a chapter --------------------------------------------------------------------------------


def _chapter(view: ChapterView) -> str:
    beliefs = [_row(s) for s in view.beliefs()]
    crashes = [_row(s) for s in view.crashes()]
    head = ["exercise", "learners", "what they believe, as far as is known", "who"]
    parts = [
        f"<h2>{view.name[:2]} {escape(CHAPTERS[view.name])}</h2>",
        _table(head, beliefs, "The commonest mistakes") if beliefs else "<p>No wrong answers.</p>",
        _table(["exercise", "learners", "what happened", "who"], crashes, "What crashed")
        if crashes
        else "",
        _stops(view),
        _grid(view),
    ]
    return "".join(parts)


def _row(stumble: Stumble) -> list[str]:
    return [
        stumble.exercise,
        f"{len(stumble.learners)}",
        marked(stumble.what),
        _names(stumble.learners),
    ]


def _stops(view: ChapterView) -> str:
    rows = [[e, f"{len(who)}", _names(who)] for e, who in view.stops()]
    if not rows:
        return "<p>Everybody finished.</p>"
    lead = f"Where people stopped: the first that is not solved ({view.finished()} finished)"
    return _table(["exercise", "learners", "who"], rows, lead)


def _grid(view: ChapterView) -> str:
    head = ["learner", "passed", *view.exercises]
    body = []
    for learner in sorted(view.rows, key=as_people_sort):
        works = list(all_works(view, learner))
        passed = sum(work.outcome == Outcome.PASSED.name for _, work in works)
        cells = "".join(_cell(work) for _, work in works)
        body.append(f"<tr><th>{escape(learner)}</th><td class=number>{passed}</td>{cells}</tr>")
    titles = "".join(
        f'<th class="{"exercise" if h in view.exercises else ""}">{escape(h)}</th>' for h in head
    )
    foot = "".join(
        f"<td class=number>{view.passed_by(exercise)} of {len(view.rows)}</td>"
        for exercise in view.exercises
    )
    return (
        '<div class="wide"><table><caption>Who got what</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody>"
        f"<tfoot><tr><th>passed by</th><td></td>{foot}</tr></tfoot></table></div>"
    )


def _cell(work: Work) -> str:
    text = unmarked(work.answer.text) if work.answer else ""
    title = f' title="{escape(text, quote=True)}"' if text else ""
    notes = ", ".join(notes_on(work))
    small = f"<small>{notes}</small>" if notes else ""
    return f'<td class="{work.outcome.lower()}"{title}>{WORDS[work.outcome]}{small}</td>'


def notes_on(work: Work) -> list[str]:
    """What a progress file adds: whose word it is, solution seen, hints, tries."""
    flags = [(work.claimed, "by their own account"), (work.seen, "solution seen")]
    counted = [(work.hints, "hint", "hints"), (work.tries, "try", "tries")]
    words = [f"{n} {one if n == 1 else many}" for n, one, many in counted if n]
    return [*(text for holds, text in flags if holds), *words]


def _sentences(found: Overview) -> str:
    """What people explained in their own words, a question at a time."""
    if not found.sentences:
        return ""
    rows = [
        [escape(chapter[:2]), _question(chapter, key), escape(learner), escape(text)]
        for learner, chapter, key, text in sorted(found.sentences, key=lambda s: (s[1], s[2], s[0]))
    ]
    return "<h2>In their own words</h2>" + _table(["chapter", "question", "learner", "said"], rows)


def _question(chapter: str, key: str) -> str:
    return marked(load_checks(chapter).questions.explanations[key].question)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of cells that are HTML already."""
    titles = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    lead = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{lead}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
