"""The headline claims of the chapters, as they were tested last: `measured/claims.json`.

The tests in `tests/claims` make the table (`make claims`) and fail where a claim no longer holds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from circuits_course.page.numbers import digits_for, number_text

CLAIMS = Path(__file__).parent / "measured" / "claims.json"
HOLDS, FAILS = "holds", "does not hold"


@dataclass(frozen=True)
class Claim:
    """One claim and what its test found.

    chapter: its two digits. name: the test's. sentence: the claim. verdict: "holds", "does not
    hold", or "holds only on ...". figure: the measured value, in `unit`; low, high: the interval,
    None where the figure is exact. n: independent units behind it. controls: how many of them the
    effect exceeds, "" where none belong. data: on what it was tested.
    """

    chapter: str
    name: str
    sentence: str
    verdict: str
    figure: float
    unit: str
    low: float | None
    high: float | None
    n: int
    controls: str
    data: str

    @property
    def interval(self) -> str:
        """The interval as text, in the unit of the figure."""
        if self.low is None or self.high is None:
            return "exact"
        return f"{_short(self.low)} to {_short(self.high)}"

    @property
    def measured(self) -> str:
        """The figure with its unit."""
        return f"{_short(self.figure)} {self.unit}".rstrip()

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def _short(value: float) -> str:
    return number_text(value, digits_for([value]))


def shipped_claims(chapter: str | None = None) -> list[Claim]:
    """The claims of a chapter ("03"), or of all, in the order of their tests."""
    if not CLAIMS.is_file():
        return []
    rows = [Claim(**row) for row in json.loads(CLAIMS.read_text(encoding="utf-8"))["claims"]]
    return [row for row in rows if chapter is None or row.chapter == chapter]
