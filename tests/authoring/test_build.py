"""The builder: a chapter's source, reference answers and checks become two notebooks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from circuits_course import storage as paths
from circuits_course.authoring import build
from circuits_course.checks import references as reference
from circuits_course.errors import CourseError, UnknownName

NAME = "00_start_here"

SOURCE = """\
# %% [markdown]
# # Start here
#
# A picture of two numbers.

# %%
import os
from pathlib import Path


class Chapter:
    def __init__(self, name):
        self.name = name

    def check(self, answer):
        print("✔ Passed.")
        return answer


chapter = Chapter("00_start_here")

# %% exercise="double"
# Mind the sign.

# %% tags=["nbval-check-output"]
print(double(4))

# %% exercise="halve"

# %%
halve(double(3))

# %%
halve(double(3))
"""

ANSWERS = '''\
"""Reference answers."""

SECRET = "a helper that no notebook shows"


def double(x: int) -> int:
    """Twice x."""
    # BEGIN BLANK
    y = x + x
    # END BLANK
    return y


def halve(x: int) -> float:
    """Half of x."""
    return x / 2
'''


class Course:
    """A scratch course of one chapter, that tests can spoil."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.exercises = {
            "double": exercise("double", difficulty=1, importance=5, minutes=5),
            "halve": exercise("halve", difficulty=2, importance=3, minutes=10),
        }
        for folder in paths.SOURCE_KINDS:
            (root / folder).mkdir(parents=True)
        self.write(SOURCE, ANSWERS)

    def write(self, source: str | None = None, answers: str | None = None) -> None:
        for folder, text in (("exercises", source), ("solutions", answers)):
            if text is not None:
                (self.root / folder / f"{NAME}.py").write_text(text, encoding="utf-8")
        reference.load_reference.cache_clear()

    def edit(self, old: str, new: str) -> None:
        assert old in SOURCE
        self.write(source=SOURCE.replace(old, new))

    def path(self, folder: str) -> Path:
        return self.root / folder / f"{NAME}.ipynb"

    def notebook(self, folder: str) -> nbformat.NotebookNode:
        return nbformat.read(self.path(folder), as_version=4)


def exercise(name: str, **metadata: int) -> SimpleNamespace:
    return SimpleNamespace(name=name, **metadata)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Course]:
    made = Course(tmp_path)
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "circuits_course")
    monkeypatch.setattr(
        build, "load_checks", lambda chapter: SimpleNamespace(exercises=made.exercises)
    )
    reference.load_reference.cache_clear()
    yield made
    reference.load_reference.cache_clear()


def test_learners_notebook_has_stub_and_check(course: Course) -> None:
    build.build(["00"], execute=False)
    cells = {cell.id: cell for cell in course.notebook("notebooks").cells}
    assert cells["about-double"].source == (
        "**Write** `double` (difficulty ●○○○○ 1 of 5, importance ●●●●● 5 of 5, about 5 minutes)."
        "\n\nMind the sign."
    )
    assert cells["double"].source == (
        'def double(x: int) -> int:\n    """Twice x."""\n    ...\n    return y\n\n'
        "double = chapter.check(double)"
    )
    assert cells["halve"].source == (
        'def halve(x: int) -> float:\n    """Half of x."""\n    raise NotImplementedError\n\n'
        "halve = chapter.check(halve)"
    )


def test_learners_notebook_carries_no_answer_and_no_output(course: Course) -> None:
    build.build([NAME], execute=False)
    text = course.path("notebooks").read_text(encoding="utf-8")
    assert "x + x" not in text
    assert "SECRET" not in text
    for cell in course.notebook("notebooks").cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_a_cell_may_be_in_one_notebook_only(course: Course) -> None:
    cells = '# %% only="solutions"\nspoiler = 1\n\n# %% only="notebooks"\nyours = 2\n\n'
    slot = '# %% exercise="halve"\n'
    course.edit(slot, cells + slot)
    sources = {
        kind: "\n".join(cell.source for cell in build.compose(NAME, kind).cells)
        for kind in ("notebooks", "solutions")
    }
    assert ("spoiler" in sources["notebooks"], "yours" in sources["notebooks"]) == (False, True)
    assert ("spoiler" in sources["solutions"], "yours" in sources["solutions"]) == (True, False)


def test_notebook_metadata_is_neutral(course: Course) -> None:
    build.build([NAME], execute=False)
    notebook = course.notebook("notebooks")
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)


def test_cell_ids_are_stable_under_edits_elsewhere(course: Course) -> None:
    build.build([NAME], execute=False)
    before = [cell.id for cell in course.notebook("notebooks").cells]
    course.edit("A picture of two numbers.", "A picture of three numbers.")
    build.build([NAME], execute=False)
    after = [cell.id for cell in course.notebook("notebooks").cells]
    assert before[0] != after[0]
    assert before[1:] == after[1:]
    assert len(set(after)) == len(after), "two cells with the same source share an id"


def test_solved_notebook_is_executed_and_same_twice(course: Course) -> None:
    build.build([NAME])
    first = course.path("solutions").read_bytes()
    cells = {cell.id: cell for cell in course.notebook("solutions").cells}
    assert cells["double"].source.startswith(
        'def double(x: int) -> int:\n    """Twice x."""\n    y = x + x\n    return y\n\n'
    )
    assert cells["double"].outputs[0].text == "✔ Passed.\n"
    assert cells["double"].execution_count is None  # or a new cell would shift every later one
    assert build.drift([NAME]) == []
    build.build([NAME])
    assert course.path("solutions").read_bytes() == first


def test_execution_is_strict_and_keeps_the_learners_progress_apart(course: Course) -> None:
    course.edit(
        "print(double(4))",
        'print(os.environ["CIRCUITS_COURSE_STRICT"], Path.home() in'
        ' Path(os.environ["CIRCUITS_COURSE_HOME"]).parents)',
    )
    build.build([NAME])
    shown = [c for c in course.notebook("solutions").cells if c.metadata.get("tags")]
    assert shown[0].outputs[0].text == "1 False\n"


def test_outputs_hold_no_path_address_timing_or_warning(course: Course) -> None:
    course.edit(
        "print(double(4))",
        "import warnings\nwarnings.warn('beware')\n"
        "print(os.getcwd(), Path.home() / 'x', object(), 'took 1.25 s and 3 ms, 5 seeds')",
    )
    build.build([NAME])
    shown = next(c for c in course.notebook("solutions").cells if c.metadata.get("tags"))
    assert [out.name for out in shown.outputs] == ["stdout"]
    assert shown.outputs[0].text == (
        "<folder> <home>/x <object object at 0x…> took … s and … ms, 5 seeds\n"
    )
    text = course.path("solutions").read_text(encoding="utf-8")
    for path in (str(Path.home()), str(course.root), sys.prefix):
        assert path not in text


def test_widget_leaves_its_text_and_no_state(course: Course) -> None:
    course.edit("print(double(4))", "import ipywidgets\nipywidgets.IntSlider(value=3)")
    build.build([NAME])
    notebook = course.notebook("solutions")
    shown = next(c for c in notebook.cells if c.metadata.get("tags"))
    assert shown.outputs[0].data == {"text/plain": "IntSlider(value=3)"}
    assert "widgets" not in notebook.metadata


def test_still_picture_stands_in_for_its_live_form(course: Course) -> None:
    forms = {"image/png": "iVBORw0=", "text/html": "<script>", "text/plain": "p"}
    course.write(untagged_source("print(double(4))", f"display({forms}, raw=True)"))
    build.build([NAME])
    cells = course.notebook("solutions").cells
    outputs = [out for cell in cells for out in cell.get("outputs", ())]
    data = next(out.data for out in outputs if "image/png" in out.get("data", ()))
    assert data == {"image/png": "iVBORw0=", "text/plain": "p"}


def test_compared_cell_must_be_text(course: Course) -> None:
    course.edit("print(double(4))", "display({'image/png': 'iVBORw0='}, raw=True)")
    with pytest.raises(CourseError, match="nbval-check-output"):
        build.build([NAME])


def untagged_source(old: str, new: str) -> str:
    return SOURCE.replace(' tags=["nbval-check-output"]', "").replace(old, new)


def test_failing_cell_is_named_and_nothing_is_written(course: Course) -> None:
    course.edit("print(double(4))", "raise ValueError('the reason')")
    with pytest.raises(CourseError, match=r"cell 5 .*ValueError: the reason"):
        build.build([NAME])
    assert not course.path("solutions").exists()
    assert not course.path("notebooks").exists()


def test_tagged_cell_without_output_is_an_error(course: Course) -> None:
    course.edit("print(double(4))", "unseen = double(4)")
    with pytest.raises(CourseError, match="nbval-check-output"):
        build.build([NAME])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('exercise="double"', 'exercise="duble"', "'duble'.*'double'"),
        ('exercise="halve"\n', "\n", "'halve' has checks but no slot"),
        ('exercise="halve"', "exercise=halve", "`exercise=halve` cannot be read; quote"),
        ("# Mind the sign.", "x = 1", "only comments"),
        ('Chapter("00_start_here")', 'Chapter("01_attention_math")', "set-up cell"),
        ("print(double(4))", "print(doubel(4))", "doubel"),
        ('exercise="halve"', 'exercise="double"', "two slots"),
    ],
)
def test_author_mistakes_are_named(course: Course, old: str, new: str, message: str) -> None:
    course.edit(old, new)
    with pytest.raises(CourseError, match=message):
        build.build([NAME], execute=False)


def test_slot_without_reference(course: Course) -> None:
    course.write(answers=ANSWERS.replace("def halve", "def half"))
    with pytest.raises(UnknownName, match="'half'"):
        build.build([NAME], execute=False)


def test_slot_without_checks(course: Course) -> None:
    course.exercises["half"] = course.exercises.pop("halve")
    with pytest.raises(CourseError, match="'half'"):
        build.build([NAME], execute=False)


def test_unbalanced_blanks(course: Course) -> None:
    course.write(answers=ANSWERS.replace("    # END BLANK\n", ""))
    with pytest.raises(CourseError, match="END BLANK"):
        build.build([NAME], execute=False)


def test_reference_that_leans_on_a_helper_outside_the_notebook(course: Course) -> None:
    course.write(answers=ANSWERS.replace("return x / 2", "return len(SECRET) and x / 2"))
    with pytest.raises(CourseError, match=r"'halve'.*SECRET"):
        build.build([NAME], execute=False)


def test_unknown_chapter_gets_the_nearest_names(course: Course) -> None:
    with pytest.raises(UnknownName, match="00_start_here"):
        build.build(["00_strat_here"], execute=False)


def test_chapter_without_source(course: Course) -> None:
    with pytest.raises(CourseError, match="01_attention_math has no source"):
        build.build(["01"], execute=False)


def test_drift_names_the_cell_and_the_command(course: Course) -> None:
    build.build([NAME])
    course.edit("halve(double(3))", "halve(double(5))")
    found = build.drift([NAME])
    assert [line.split(":")[0] for line in found] == [
        f"notebooks/{NAME}.ipynb",
        f"solutions/{NAME}.ipynb",
    ]
    for line in found:
        assert "cell 8" in line
        assert "circuits-course build 00" in line


def test_drift_sees_missing_notebooks_hand_edits_and_missing_outputs(course: Course) -> None:
    assert all("missing" in line for line in build.drift([NAME]))
    build.build([NAME])
    notebook = course.notebook("notebooks")
    notebook.cells[2].source += "x = 1"
    nbformat.write(notebook, course.path("notebooks"))
    solved = course.notebook("solutions")
    for cell in solved.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(solved, course.path("solutions"))
    learners, teachers = build.drift([NAME])
    assert "cell 2" in learners or "cell 3" in learners
    assert "not executed" in teachers


def test_a_hand_edited_output_is_drift_once_it_is_run_again(course: Course) -> None:
    build.build([NAME])
    solved = course.notebook("solutions")
    solved.cells[-1].outputs[0]["data"]["text/plain"] = "4.0"
    nbformat.write(solved, course.path("solutions"))
    assert build.drift([NAME]) == []
    (line,) = build.drift([NAME], execute=True)
    assert "says '4.0', a new run '3.0'" in line


def test_large_notebook_is_refused(course: Course) -> None:
    course.write(untagged_source("print(double(4))", "print('x' * 2_000_000)"))
    with pytest.raises(CourseError, match="1 MB"):
        build.build([NAME])
