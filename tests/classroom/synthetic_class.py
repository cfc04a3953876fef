"""A class made up from references and wrong answers, of whom everything is known beforehand.

    python tests/synthetic_class.py --learners 200

makes one over all chapters, has it checked as `circuits-course report` does, and prints time, peak
memory and whether every answer was judged as expected.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from circuits_course.checks import load_checks, ready
from circuits_course.checks.references import reference_source
from circuits_course.classroom.grading import check_folder
from circuits_course.classroom.report_page import write_page
from circuits_course.storage import source_dir

Judged = dict[str, tuple[str, str | None]]  # exercise -> (outcome, diagnosis)

_CHECK = re.compile(r"^(\w+) = chapter\.check\(\1\)$", re.MULTILINE)


@cache
def _notebook(chapter: str) -> dict[str, Any]:
    return json.loads((source_dir("notebooks") / f"{chapter}.ipynb").read_text(encoding="utf-8"))


@cache
def _judgement(chapter: str, name: str, index: int) -> tuple[str, str | None]:
    """What the checker says of a wrong answer on file."""
    exercise = load_checks(chapter).exercises[name]
    result = exercise.check(exercise.wrong_answers[index].function)
    return result.outcome.name, result.diagnosis


def _answered(chapter: str, name: str, kind: str, dice: random.Random) -> tuple[str, Any]:
    """An exercise's cell with that kind of answer, and what should be said of it."""
    check = f"{name} = chapter.check({name})"
    if kind == "right":
        return f"{reference_source(chapter, name)}\n\n{check}", ("PASSED", None)
    wrong = load_checks(chapter).exercises[name].wrong_answers
    index = dice.randrange(len(wrong))
    module = f"circuits_course.checks.c{chapter}.{name}"
    source = f"from {module} import {wrong[index].name}\n\n"
    source += f'{name} = chapter.check({wrong[index].name}, name="{name}")'
    return source, _judgement(chapter, name, index)


def make_learner(path: Path, chapter: str, dice: random.Random) -> Judged:
    """Writes a learner's notebook: the shipped one, some of its exercises answered by chance."""
    notebook, expected = json.loads(json.dumps(_notebook(chapter))), {}
    diligence = dice.random()
    for cell in notebook["cells"]:
        found = _CHECK.search("".join(cell["source"])) if cell["cell_type"] == "code" else None
        if not found:
            continue
        name = found[1]
        expected[name] = ("NOT_ATTEMPTED", None)
        if dice.random() < diligence:
            kind = dice.choice(["right", "right", "wrong"])
            cell["source"], expected[name] = _answered(chapter, name, kind, dice)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return expected


def make_class(
    folder: Path, learners: int, chapters: list[str], seed: int = 0
) -> dict[str, Judged]:
    """A notebook a learner, chapters in turn; {learner: what should be said of them}."""
    dice = random.Random(seed)
    return {
        f"learner_{i}": make_learner(
            folder / f"learner_{i}" / f"{chapters[i % len(chapters)]}.ipynb",
            chapters[i % len(chapters)],
            dice,
        )
        for i in range(learners)
    }


def judged(reports: list[Any]) -> dict[str, Judged]:
    """What the report says, in the form of `make_class`."""
    return {
        report.learner: {n: (a.outcome, a.diagnosis) for n, a in report.answers.items()}
        for report in reports
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learners", type=int, default=200)
    parser.add_argument("--page", type=Path, help="keep the page there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        expected = make_class(Path(scratch), arguments.learners, ready())
        start = time.monotonic()
        reports = check_folder(Path(scratch))
        seconds = time.monotonic() - start
    if arguments.page:
        write_page(reports, arguments.page)
    found = judged(reports)
    wrong = {name: (expected[name], found.get(name)) for name in expected
             if expected[name] != found.get(name)}  # fmt: skip
    answers = sum(len(row) for row in expected.values())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(reports)} notebooks, {answers} exercises in {seconds:.0f} s; peak memory of the")
    print(f"reporting process {memory:.2f} GB; learners judged otherwise: {len(wrong)}")
    for name, (want, got) in wrong.items():
        print(
            name, {k: (want[k], (got or {}).get(k)) for k in want if (got or {}).get(k) != want[k]}
        )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
