"""The marks of a class in the forms that other programs read: CSV, JSON, Gradescope.

An exercise is worth its importance, from 1 to 5, to whoever passed it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuits_course.classroom.overview import ChapterView, Overview, Work, all_works, overview
from circuits_course.classroom.report_page import WORDS
from circuits_course.classroom.reports import Report
from circuits_course.page.messages import unmarked
from circuits_course.storage import write_whole

_FORMULA = ("=", "+", "-", "@", "\t")


def points(view: ChapterView, exercise: str, work: Work) -> int:
    """The points of one exercise: its importance where it was passed, else 0."""
    return view.checks.exercises[exercise].importance if work.outcome == "PASSED" else 0


def write_csv(reports: Sequence[Report], path: Path) -> Path:
    """A row for each learner: points in all, of how many, and by exercise. Returns its path."""
    found = overview(reports)
    columns = [(view, exercise) for view in found.chapters for exercise in view.exercises]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    titles = [f"{v.name[:2]} {e} ({_worth(v, e)})" for v, e in columns]
    writer.writerow(["learner", "points", "of", *titles])
    for learner in found.learners:
        cells = [_cell(view, exercise, learner) for view, exercise in columns]
        given = [cell for cell in cells if cell != ""]
        worth = sum(_worth(v, e) for (v, e), cell in zip(columns, cells, strict=True) if cell != "")
        writer.writerow([_harmless(learner), sum(map(int, given)), worth, *cells])
    write_whole(path, file.getvalue().encode("utf-8-sig"))
    return path


def _worth(view: ChapterView, exercise: str) -> int:
    return view.checks.exercises[exercise].importance


def _cell(view: ChapterView, exercise: str, learner: str) -> int | str:
    """Empty where the learner handed in nothing on that chapter."""
    if learner not in view.rows:
        return ""
    return points(view, exercise, view.rows[learner].get(exercise, Work()))


def _harmless(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(_FORMULA) else name


def write_json(reports: Sequence[Report], path: Path) -> Path:
    """Everything that was found, a learner at a time. Returns its path."""
    found = overview(reports)
    learners = [_learner(found, reports, name) for name in found.learners]
    write_whole(path, (json.dumps({"learners": learners}, indent=1) + "\n").encode())
    return path


def _learner(found: Overview, reports: Sequence[Report], name: str) -> dict[str, Any]:
    mine = [report for report in reports if report.learner == name]
    return {
        "learner": name,
        "files": [{"file": r.file, "trouble": r.trouble} for r in mine],
        "chapters": {
            view.name: {e: _exercise(view, e, work) for e, work in all_works(view, name)}
            for view in found.chapters
            if name in view.rows
        },
        "sentences": [list(said[1:]) for said in found.sentences if said[0] == name],
    }


def _exercise(view: ChapterView, exercise: str, work: Work) -> dict[str, Any]:
    answer = work.answer
    return {
        "outcome": work.outcome,
        "points": points(view, exercise, work),
        "of": _worth(view, exercise),
        "diagnosis": answer.diagnosis if answer else None,
        "text": answer.text if answer else "",
        "from_progress_file": work.claimed,
        "tries": work.tries,
        "hints": work.hints,
        "solution_seen": work.seen,
    }


def write_gradescope(reports: Sequence[Report], path: Path) -> Path:
    """One submission, whoever's files they are, as Gradescope's `results.json`. Returns its path.

    Every exercise of each chapter that was handed in is a test, with its importance as points.
    """
    together = [_renamed(report) for report in reports]
    tests = [
        _test(view, exercise, work)
        for view in overview(together).chapters
        for exercise, work in all_works(view, "")
    ]
    trouble = [f"{report.file}: {line}" for report in reports for line in report.trouble]
    result = {
        "output": "\n".join(trouble) or "Every file was read.",
        "score": sum(test["score"] for test in tests),
        "visibility": "visible",
        "tests": tests,
    }
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())
    return path


def _renamed(report: Report) -> Report:
    one = Report("", report.file)
    one.take(report.as_json())
    return one


def _test(view: ChapterView, exercise: str, work: Work) -> dict[str, Any]:
    text = unmarked(work.answer.text) if work.answer else WORDS[work.outcome]
    return {
        "name": f"{view.name[:2]} {exercise}",
        "score": points(view, exercise, work),
        "max_score": _worth(view, exercise),
        "status": "passed" if work.outcome == "PASSED" else "failed",
        "output": text,
    }
