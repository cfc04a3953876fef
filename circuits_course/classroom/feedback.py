"""A page for each learner, to hand back: what passed, what did not and why, where to go on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from circuits_course.checks.chapters import CHAPTERS
from circuits_course.classroom.overview import ChapterView, Overview, Work, all_works, overview
from circuits_course.classroom.report_page import WORDS, html_page, notes_on, several_files
from circuits_course.classroom.reports import Report
from circuits_course.page.messages import marked, prose
from circuits_course.storage import require_writable, write_whole

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def write_feedback(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Writes a page for each learner into a folder; returns their paths.

    Raises CourseError where the folder cannot be written to.
    """
    require_writable(folder)
    found = overview(reports)
    used: set[str] = set()
    written = []
    for learner in found.learners:
        path = folder / f"{_free_name(learner, used)}.html"
        write_whole(path, feedback(found, learner).encode())
        written.append(path)
    return written


def feedback(found: Overview, learner: str) -> str:
    """One learner's page as HTML."""
    mine = [report for report in found.reports if report.learner == learner]
    trouble = [
        f"<li><bdi>{escape(r.file)}</bdi>: {escape(line)}</li>" for r in mine for line in r.trouble
    ]
    parts = [f"<h1>{escape(learner)}</h1>"]
    if trouble:
        parts.append(f"<h2>Files with trouble</h2><ul>{''.join(trouble)}</ul>")
    parts.append(several_files(found, [key for key in found.several if key[0] == learner]))
    parts += [_chapter(view, learner) for view in found.chapters if learner in view.rows]
    return html_page(f"Feedback for {learner}", parts)


def _chapter(view: ChapterView, learner: str) -> str:
    works = list(all_works(view, learner))
    passed = sum(work.outcome == "PASSED" for _, work in works)
    rows = "".join(_row(view, exercise, work) for exercise, work in works)
    return (
        f"<h2>{view.name[:2]} {escape(CHAPTERS[view.name])}: {passed} of {len(works)} passed</h2>"
        f"<table><tbody>{rows}</tbody></table>"
    )


def _row(view: ChapterView, exercise: str, work: Work) -> str:
    notes = ", ".join(notes_on(work))
    small = f"<small>{notes}</small>" if notes else ""
    return (
        f"<tr><th>{exercise}</th><td class={work.outcome.lower()}>{WORDS[work.outcome]}{small}</td>"
        f"<td>{_advice(view, exercise, work)}</td></tr>"
    )


def _advice(view: ChapterView, exercise: str, work: Work) -> str:
    if work.outcome == "PASSED":
        return ""
    said = prose(work.answer.text) if work.answer and work.answer.text else ""
    if work.outcome == "NOT_ATTEMPTED":
        return said
    return f"{said}<p>A hint: {marked(view.checks.exercises[exercise].hints[0])}</p>"


def _free_name(learner: str, used: set[str]) -> str:
    """A name for a file that every system takes, and nobody else's."""
    plain = re.sub(r"[^\w .-]", "_", learner).strip(" .")[:80] or "learner"
    plain = f"{plain}_" if _RESERVED.fullmatch(plain) else plain
    name, number = plain, 2
    while name.casefold() in used:
        name, number = f"{plain} {number}", number + 1
    used.add(name.casefold())
    return name
