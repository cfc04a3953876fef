"""The plans in docs/teaching.md, held against a clock and against the chapters themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import pytest

from circuits_course.authoring.slides import SLIDES, page
from circuits_course.checks import SLOT, load_checks
from circuits_course.checks.chapters import chapter_name
from circuits_course.storage import PACKAGE, source_dir

GUIDE = (PACKAGE.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+):(\d\d) \| (\d+):(\d\d) \| (.*?) \|", re.MULTILINE)
LONGEST_SITTING = 100  # minutes without a break


@dataclass
class Slot:
    start: int
    end: int
    what: str

    @property
    def minutes(self) -> int:
        return self.end - self.start

    @property
    def rest(self) -> bool:
        return self.what in ("break", "lunch")

    @property
    def chapter(self) -> str:
        found = re.match(r"\*\*(\d\d)\*\*", self.what)
        return found[1] if found else ""

    @property
    def sections(self) -> list[int]:
        found = re.search(r"sections? (\d)(?: (and|to) (\d))?", self.what)
        if not found:
            return []
        first, last = int(found[1]), int(found[3] or found[1])
        return list(range(first, last + 1))


def plans() -> list[list[Slot]]:
    """The days: each table with hours in it."""
    tables = re.split(r"\n\n", GUIDE)
    days = []
    for table in tables:
        rows = [tuple(row) for row in ROW.findall(table)]
        if rows:
            days.append([Slot(60 * int(a) + int(b), 60 * int(c) + int(d), what)
                         for a, b, c, d, what in rows])  # fmt: skip
    return days


DAYS = plans()


def exercise_minutes(chapter: str, sections: list[int]) -> int:
    """What the exercises of those sections say they take."""
    text = (source_dir("exercises") / f"{chapter_name(chapter)}.py").read_text(encoding="utf-8")
    exercises = load_checks(chapter).exercises
    parts = re.split(r"^# ## (?=\d)", text, flags=re.MULTILINE)[1:]
    by_number = {int(part[0]): part for part in parts}
    return sum(
        exercises[name].minutes for number in sections for name in SLOT.findall(by_number[number])
    )


def test_there_are_three_days():
    assert len(DAYS) == 3


@pytest.mark.parametrize("day", DAYS, ids=["half", "first", "second"])
def test_a_clock_accepts_the_plan(day):
    for slot, following in pairwise(day):
        assert slot.end == following.start, following
    assert all(slot.minutes > 0 for slot in day)
    sitting = 0
    for slot in day:
        sitting = 0 if slot.rest else sitting + slot.minutes
        assert sitting <= LONGEST_SITTING, slot


@pytest.mark.parametrize(
    "slot", [slot for day in DAYS for slot in day if slot.sections], ids=lambda slot: slot.what[:30]
)
def test_a_slot_holds_its_exercises(slot):
    assert slot.minutes >= exercise_minutes(slot.chapter, slot.sections)


def test_two_days_give_each_chapter_the_time_that_it_says():
    for chapter in ("01", "03", "04", "05", "07"):
        given = sum(s.minutes for day in DAYS[1:] for s in day if s.chapter == chapter)
        text = (source_dir("exercises") / f"{chapter_name(chapter)}.py").read_text("utf-8")
        said = re.search(r"\*\*Time\*\* (?:about )?(\w+)(?: to (\d+))? (minutes|hours)", text)
        least = {"two": 120}.get(said[1]) or int(said[1])
        assert least <= given <= int(said[2] or least), chapter


def test_the_headings_that_the_plan_names_exist():
    text = (source_dir("exercises") / "00_start_here.py").read_text(encoding="utf-8")
    (named,) = re.findall(r"\*\*00\*\* \*(.*?)\*:", GUIDE)
    assert f"# ## {named}" in text
    words = {5: "matter", 6: "come about", 8: "real language model"}
    chapter = (source_dir("exercises") / "04_induction_heads.py").read_text(encoding="utf-8")
    for number, word in words.items():
        (heading,) = re.findall(rf"^# ## {number}\. (.*)", chapter, re.MULTILINE)
        assert word in heading


def test_copying_score_ablation_and_live_training_have_their_place():
    half = {tuple(slot.sections): slot.what for slot in DAYS[0] if slot.sections}
    assert "copying score" in half[(3, 4)]
    assert "ablation" in half[(5,)]
    assert "live training" in half[(6,)]
    chapter = (source_dir("exercises") / "04_induction_heads.py").read_text(encoding="utf-8")
    sixth = chapter[chapter.index("# ## 6.") : chapter.index("# ## 7.")]
    assert "### Live" in sixth


def test_the_slides_are_one_page_that_needs_nothing_else():
    text = page()
    assert text.count("<section>") == len(SLIDES) == text.count("<svg")
    assert not re.search(r"<(script|link|img|iframe)|https?://(?!www\.w3\.org)|@import|url\(", text)
    keys = re.findall(r' id="(\w+)"', text)
    assert len(keys) == len(set(keys))
