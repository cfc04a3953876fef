"""The wrong answer on file that an attempt behaves like, and how sure that is.

A false cause is worse than none: it sends people to mend what works. So a cause is named where the
attempt and the wrong answer do the same on most of the cases that either of them fails, and not at
all where that could be chance. A case on which many mistakes look alike counts less.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from circuits_course.checking.compare import same
from circuits_course.checking.declaring import Declaration, WrongAnswer
from circuits_course.checking.running import Finding, try_case
from circuits_course.checking.tolerance import Tolerance
from circuits_course.checking.variations import explain, gives_all

MOST = 0.5  # of the cases that either fails: two causes on file do not agree on more
NAMED = 0.6  # from here on a cause is named as likely
FAULT = 0.5  # what the same broken property counts, where outputs differ or cannot be compared
LITTLE = 0.4  # what a case counts whose output is one plain number or so, which many mistakes give


class Likeness(IntEnum):
    """How alike two answers behave on one case."""

    NONE = 0
    SAME_FAULT = 1
    SAME_OUTPUT = 2


@dataclass(frozen=True)
class Cause:
    """What explains an attempt: a wrong answer on file, or other arguments.

    sure: on most cases, not only on some. whole: on every one. of_numbers: other numbers in an
    argument explain it, and a relation of the results themselves, if there is one, is the plainer
    word. proven: no likeness, it was tried.
    """

    name: str
    because: str
    sure: bool
    of_numbers: bool = False
    whole: bool = False
    proven: bool = False

    @property
    def sentence(self) -> str:
        if self.proven:
            return self.because
        return f"{'Likely' if self.sure else 'Perhaps'}: {self.because}"


def diagnose(exercise: Declaration, findings: list[Finding]) -> Cause | None:
    """The cause that fits best, if it fits well enough: a mistake on file first.

    The mistakes on file run here; what libraries say of them is not the learner's, and not told.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on_file = cause_on_file(exercise, findings)
        other = None if on_file and on_file.sure else explain(exercise, findings)
    if other is None:
        return on_file
    whole = gives_all(exercise, other, findings)
    return Cause(other.name, other.because, True, other.of_numbers, whole)


def cause_on_file(exercise: Declaration, findings: list[Finding]) -> Cause | None:
    shares = {
        wrong.name: (_share(exercise, wrong, findings), wrong) for wrong in exercise.wrong_answers
    }
    ranked = sorted(shares.values(), key=lambda pair: pair[0], reverse=True)
    if not ranked or ranked[0][0] == (0.0, 0.0):
        return None
    (outputs, faults), wrong = ranked[0]
    alone = len(ranked) == 1 or ranked[1][0] != ranked[0][0] or outputs == 1.0
    everywhere = outputs + faults > 0.999
    if (everywhere or outputs + FAULT * faults >= NAMED) and alone:
        return Cause(wrong.name, wrong.because, outputs > 0 or faults == 1.0, whole=everywhere)
    return None


def _share(
    exercise: Declaration, wrong: WrongAnswer, findings: list[Finding], weighted: bool = True
) -> tuple[float, float]:
    """Of the cases that the attempt or the wrong answer fails: the shares on which they give the
    same output, and on which they break the same property. weighted: `LITTLE` counts."""
    theirs = _findings_of(exercise, wrong)
    pairs = [
        (mine, other)
        for mine, other in zip(findings, theirs, strict=False)
        if not (mine.ok and other.ok)
    ]
    weights = [_weight(mine, other) if weighted else 1.0 for mine, other in pairs]
    shares = dict.fromkeys(Likeness, 0.0)
    for (mine, other), weight in zip(pairs, weights, strict=True):
        shares[likeness(mine, other, exercise.tolerance)] += weight / sum(weights)
    return round(shares[Likeness.SAME_OUTPUT], 6), round(shares[Likeness.SAME_FAULT], 6)


def _weight(mine: Finding, theirs: Finding) -> float:
    """What a case counts: less where the output is one that many mistakes give."""
    shown = theirs if mine.ok else mine
    return LITTLE if _holds_little(shown.output if shown.seen is None else shown.seen) else 1.0


def _holds_little(output: Any) -> bool:
    if isinstance(output, Tensor) and output.numel() == 1 and _is_plain(output):
        output = output.item()
    if isinstance(output, list | tuple):
        return len(output) < 2
    return isinstance(output, int | float) and float(output) * 12 % 1 == 0


def agreement(exercise: Declaration, one: WrongAnswer, other: WrongAnswer) -> float:
    """The share of the cases that either of two wrong answers fails on which they do the same."""
    return _share(exercise, other, _findings_of(exercise, one), weighted=False)[0]


def _findings_of(exercise: Declaration, wrong: WrongAnswer) -> list[Finding]:
    """What a wrong answer on file does on every case; run once."""
    known = exercise.known_findings
    if wrong.name not in known:
        cases = zip(exercise.built_cases(), exercise.expectations(), strict=True)
        known[wrong.name] = [try_case(exercise, wrong.function, case, e) for case, e in cases]
    return known[wrong.name]


def likeness(mine: Finding, theirs: Finding, tolerance: Tolerance) -> Likeness:
    """Whether two answers gave the same output on a case, or broke the same property.

    Where an exercise observes what an output does, only doing the same is alike.
    """
    if mine.ok or theirs.ok:
        return Likeness.NONE
    if mine.raised or theirs.raised:
        both = mine.raised and theirs.raised and mine.raised.text == theirs.raised.text
        return Likeness.SAME_OUTPUT if both else Likeness.NONE
    kinds = {f.difference.kind if f.difference else None for f in (mine, theirs)}
    if len(kinds) > 1 or mine.broken != theirs.broken:
        return Likeness.NONE
    if kinds & {"mutation", "harm", "none"}:
        alike = _text(mine) == _text(theirs)
        return Likeness.SAME_OUTPUT if alike else Likeness.NONE
    if "type" in kinds:
        alike = _types(mine.output) == _types(theirs.output)
        return Likeness.SAME_OUTPUT if alike else Likeness.NONE
    seen = [f.output if f.seen is None else f.seen for f in (mine, theirs)]
    if same(seen[0], seen[1], tolerance):
        return Likeness.SAME_FAULT if _says_nothing(seen[0]) else Likeness.SAME_OUTPUT
    same_property = mine.broken is not None and mine.seen is None
    same_property = same_property and _pattern(_text(mine)) == _pattern(_text(theirs))
    return Likeness.SAME_FAULT if same_property else Likeness.NONE


def _types(output: Any) -> tuple[type, ...]:
    """The type of an output, of its first entry, of that one's first entry."""
    inside = isinstance(output, list | tuple) and output
    return (type(output), *(_types(output[0]) if inside else ()))


def _pattern(text: str) -> str:
    """A complaint without its numbers and names."""
    return re.sub(r"'[^']*'|-?\d[\d.]*", "#", text)


def _text(finding: Finding) -> str:
    return finding.difference.text if finding.difference else ""


def _is_plain(output: Tensor) -> bool:
    return output.layout == torch.strided and not (
        output.is_meta or output.is_nested or output.is_complex()
    )


def _says_nothing(output: Any) -> bool:
    """Whether an output is NaN or 0 throughout, or one whole number: two of them are alike
    whatever made them."""
    if isinstance(output, Tensor) and not _is_plain(output):
        return False
    if isinstance(output, Tensor) and output.dtype == torch.int64 and output.numel() > 3:
        return bool((output == output.flatten()[0]).all())
    if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
        return bool((torch.isnan(output) | (output == 0)).all())
    return isinstance(output, float) and (output != output or output == 0)
