"""Mutants of the reference answers, put to the checks: which pass, and which meet a named cause.

Some mutants compute the same by another way. They are listed with the reason in
`checks/cNN_topic/equivalent.json`, {exercise: {reason: [mutants]}}; every other one has to fail.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuits_course.authoring.mutation import Mutant, mutants_of
from circuits_course.checking.exercise import Exercise
from circuits_course.checking.repair import ONE_CHANGE
from circuits_course.checking.running import findings_of
from circuits_course.checking.time_limit import time_limit
from circuits_course.checks import load_checks
from circuits_course.checks.chapters import chapter_name
from circuits_course.checks.references import load_reference

SECONDS = 20.0  # for one mutant: some never end


@dataclass
class Tally:
    """What became of the mutants of one exercise.

    named: died and met a cause on file; unnamed: died without one. alive: passed, listed as
    equivalent or not. stale: listed, yet dead or no mutant at all.
    """

    exercise: str
    tried: int = 0
    named: int = 0
    unnamed: list[Mutant] = field(default_factory=list)
    equivalent: list[Mutant] = field(default_factory=list)
    alive: list[Mutant] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    def text(self, unnamed: bool = False) -> str:
        """The counts on one line, then whatever wants to be looked at."""
        rows = [f"  passes, line {mutant.line}: {mutant.name}" for mutant in self.alive]
        rows += [f"  listed as equivalent, and is not: {name}" for name in self.stale]
        if unnamed:
            rows += [f"  no cause, line {mutant.line}: {mutant.name}" for mutant in self.unnamed]
        counts = (
            f"{self.exercise}: {self.tried} tried, {self.named} died with a named cause, "
            f"{len(self.unnamed)} without, {len(self.equivalent)} are equivalent, "
            f"{len(self.alive)} alive"
        )
        return "\n".join([counts, *rows])


def tally(chapter: str | int, name: str, *, causes: bool = True) -> Tally:
    """Tries the mutants of one exercise's reference. Without `causes` a mutant is only run up to
    the first case that it fails, and all of the dead count as unnamed."""
    exercise = load_checks(chapter).find_exercise(name)
    listed = equivalents(chapter).get(name, {})
    known = {mutant for mutants in listed.values() for mutant in mutants}
    result = Tally(name)
    for mutant in mutants_of(_source(chapter, name)):
        result.tried += 1
        alive, cause = _fate(exercise, _function(chapter, name, mutant), causes)
        if alive:
            (result.equivalent if mutant.name in known else result.alive).append(mutant)
        elif cause:
            result.named += 1
        else:
            result.unnamed.append(mutant)
    result.stale = sorted(known - {mutant.name for mutant in result.equivalent})
    return result


def equivalents(chapter: str | int) -> dict[str, dict[str, list[str]]]:
    """The mutants of a chapter that compute the same: {exercise: {reason: [mutants]}}."""
    path = equivalents_path(chapter)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def equivalents_path(chapter: str | int) -> Path:
    checks = Path(inspect.getfile(load_checks)).parent
    return checks / f"c{chapter_name(chapter)}" / "equivalent.json"


# --- one mutant -------------------------------------------------------------------------------


def _source(chapter: str | int, name: str) -> str:
    return inspect.getsource(getattr(load_reference(chapter_name(chapter)), name))


def _function(chapter: str | int, name: str, mutant: Mutant) -> Callable[..., Any]:
    scope = dict(vars(load_reference(chapter_name(chapter))))
    exec(compile(mutant.source, f"<mutant of {name}>", "exec"), scope)
    return scope[name]


def _fate(exercise: Exercise, attempt: Callable[..., Any], causes: bool) -> tuple[bool, str | None]:
    """Whether a mutant passes, and the cause that it meets where it does not."""
    exercise.expectations()  # not on the mutant's time
    try:
        with time_limit(SECONDS):
            if causes:
                result = exercise.check(attempt)
                on_file = result.diagnosis if result.diagnosis != ONE_CHANGE else None
                return result.passed, on_file
            return all(finding.ok for finding in findings_of(exercise, attempt)), None
    except KeyboardInterrupt:
        return False, None
