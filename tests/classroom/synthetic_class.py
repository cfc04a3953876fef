"""A class made up from references and wrong answers, of whom everything is known beforehand.

    PYTHONPATH=tests python tests/classroom/synthetic_class.py --learners 200 --workers 2

makes one over all chapters, has it checked as `circuits-course report` does, and prints time, peak
memory of all its processes together and whether every answer was judged as expected.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
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
    source = "from circuits_course.checks import load_checks\n\n"
    wrong_answer = f'load_checks("{chapter}").exercises["{name}"].wrong_answers[{index}].function'
    source += f'{name} = chapter.check({wrong_answer}, name="{name}")'
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


class _Memory:
    """Proportional memory of this process and all that it started, noted at every tenth file."""

    def __init__(self) -> None:
        self.noted: dict[int, float] = {}
        self.first = 0.0

    def note(self, finished: int) -> None:
        if finished == 1:
            self.first = time.monotonic()
        if finished % 10 == 0 and finished:
            self.noted[finished] = _family_memory()

    def said(self) -> str:
        steps = sorted(self.noted)[:: max(1, len(self.noted) // 8)]
        return ", ".join(f"{self.noted[n]:.2f} GB after {n}" for n in steps)


def _family_memory() -> float:
    """GB, shared pages counted once."""
    pids, total = [os.getpid()], 0
    while pids:
        pid = pids.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            pids += map(int, task.read_text().split())
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(text.split("Pss:")[1].split()[0])
    return total / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learners", type=int, default=200)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--cluster", help="address of a Dask scheduler")
    parser.add_argument("--page", type=Path, help="keep the page there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        expected = make_class(Path(scratch), arguments.learners, ready())
        start, memory = time.monotonic(), _Memory()
        reports = check_folder(
            Path(scratch),
            workers=arguments.workers,
            cluster=arguments.cluster,
            done=lambda finished, _total: memory.note(finished),
        )
        seconds = time.monotonic() - start
    if arguments.page:
        write_page(reports, arguments.page)
    found = judged(reports)
    wrong = {name: (expected[name], found.get(name)) for name in expected
             if expected[name] != found.get(name)}  # fmt: skip
    answers = sum(len(row) for row in expected.values())
    print(f"{len(reports)} notebooks, {answers} exercises in {seconds:.0f} s, the first after ")
    print(f"{memory.first - start:.0f} s; learners judged otherwise: {len(wrong)}; memory of all ")
    print(f"processes: {memory.said()}")
    for name, (want, got) in wrong.items():
        print(
            name, {k: (want[k], (got or {}).get(k)) for k in want if (got or {}).get(k) != want[k]}
        )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
