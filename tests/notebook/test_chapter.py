"""What a notebook talks to: checks, hints, questions, progress; in and out of Jupyter."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from circuits_course import Chapter
from circuits_course.checking.outcome import CheckFailed
from circuits_course.checks import load_checks, ready
from circuits_course.checks.references import load_reference
from circuits_course.cli import app
from circuits_course.errors import CourseError, UnknownName
from circuits_course.notebook import questions
from circuits_course.notebook.looking_back import returning
from circuits_course.notebook.questions import (
    MultipleChoice,
    _choice_widget,
    _prediction_widget,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CIRCUITS_COURSE_STRICT", raising=False)
    return tmp_path / "home"


@pytest.fixture
def chapter():
    return Chapter("00_start_here")


def split_heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1)


def _wrong(chapter, key):
    question = load_checks(chapter).questions.quizzes[key]
    return next(choice for choice in question.choices if choice != question.answer)


WRONG = _wrong("03", "what_a_head_writes")


def named_split_heads(function):
    function.__name__ = "split_heads"
    return function


@pytest.mark.parametrize("name", ["00_start_here", "00", "0", 0, "00_start_here.ipynb"])
def test_a_chapter_is_found_by_name_or_number(name):
    assert Chapter(name).name == "00_start_here"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("04_induction", "04_induction_heads"), ("start_here", "00_start_here")],
)
def test_an_unknown_chapter_gives_the_nearest_names(name, nearest):
    with pytest.raises(UnknownName, match=nearest):
        Chapter(name)


def test_check_returns_yours_when_right_and_the_reference_otherwise(chapter, capsys):
    assert chapter.check(split_heads) is split_heads
    assert "✔ Passed" in capsys.readouterr().out
    wrong = named_split_heads(lambda x, n_heads: x)
    given = chapter.check(wrong)
    assert given is load_reference("00_start_here").split_heads
    assert "✘ Wrong shape" in capsys.readouterr().out


def test_unknown_exercise_gives_the_nearest_name(chapter):
    def split_head(x, n_heads):
        return x

    with pytest.raises(UnknownName, match="split_heads"):
        chapter.check(split_head)


def test_a_lambda_can_be_named(chapter):
    answer = lambda x, n_heads: x.unflatten(-1, (n_heads, -1))  # noqa: E731
    with pytest.raises(CourseError, match="name="):
        chapter.check(answer)
    assert chapter.check(answer, name="split_heads") is answer


def test_a_result_instead_of_the_function_is_met_kindly(chapter):
    with pytest.raises(CourseError, match="without calling it"):
        chapter.check(torch.zeros(3))


def test_strict_mode_raises(chapter, monkeypatch):
    monkeypatch.setenv("CIRCUITS_COURSE_STRICT", "1")
    chapter.check(split_heads)
    with pytest.raises(CheckFailed, match="split_heads: ✘ Wrong shape"):
        chapter.check(named_split_heads(lambda x, n_heads: x))


def test_hints_come_one_at_a_time_and_end(chapter, capsys):
    hints = load_checks("00_start_here").exercises["split_heads"].hints
    for number in range(len(hints)):
        chapter.hint("split_heads")
        shown = capsys.readouterr().out
        assert hints[number] in shown
        assert all(later not in shown for later in hints[number + 1 :])
    chapter.hint("split_heads")
    assert "last hint" in capsys.readouterr().out


def test_the_solution_is_shown_and_counts_as_seen(chapter, capsys):
    chapter.solution("split_heads")
    shown = capsys.readouterr().out
    assert "def split_heads(" in shown
    assert "BLANK" not in shown
    assert chapter.progress_rows()[0][1] == "○ not attempted, solution seen"


def test_progress_counts_tries_and_is_kept(chapter):
    chapter.check(named_split_heads(lambda x, n_heads: x))
    chapter.check(split_heads)
    chapter.check(named_split_heads(lambda x, n_heads: x))
    assert Chapter("00").progress_rows()[0] == ["split_heads", "✔ passed", "4", "3", "0"]
    assert Chapter("00").progress_rows()[1][1] == "○ not attempted"


def test_a_prediction_is_kept_and_nothing_given_away(chapter, capsys):
    chapter.predict("rows_sum")
    assert "every column" in capsys.readouterr().out
    for answer, sure in (("every column", "guess"), ("every row", "certain")):
        chapter.predict("rows_sum", answer=answer, sure=sure)
        said = capsys.readouterr().out
        assert said.startswith(f"○ Recorded: {answer}")
        assert not set(said) & set("✔✘")
    details = [event.detail for event in chapter.log.events(kind="predict")]
    assert details == [
        {"answer": "every column", "sure": "guess"},
        {"answer": "every row", "sure": "certain"},
    ]
    with pytest.raises(UnknownName, match="every row"):
        chapter.predict("rows_sum", answer="row")
    with pytest.raises(UnknownName, match="rows_sum"):
        chapter.predict("row_sum")
    with pytest.raises(UnknownName, match="way to be sure"):
        chapter.predict("rows_sum", answer="every row", sure="very")
    assert len(chapter.log.events(kind="predict")) == 2  # what was refused is not kept


def test_the_measurement_answers_the_prediction_with_a_reason_for_every_choice(chapter, capsys):
    reasons = load_checks("00").questions.predictions["rows_sum"].choices
    chapter.reveal("rows_sum")
    shown = capsys.readouterr().out
    assert shown.startswith("○ It is: “every row”")
    assert all(reason in shown for reason in reasons.values())
    chapter.predict("rows_sum", answer="every column", sure="certain")
    capsys.readouterr()
    chapter.reveal("rows_sum")
    shown = capsys.readouterr().out
    assert shown.startswith("✘ You said “every column” (certain). It is: “every row”")
    assert all(reason in shown for reason in reasons.values())
    chapter.predict("rows_sum", answer="every row")
    capsys.readouterr()
    chapter.reveal("rows_sum")
    assert capsys.readouterr().out.startswith("✔ You said, and it is: “every row”")


def test_another_model_is_told_nothing_that_was_measured_on_smollm2(capsys):
    from circuits_course import load_model

    chapter = Chapter("04")
    chapter.reveal("how_deep", model=load_model("induction-2l"))
    shown = capsys.readouterr().out
    assert "around the middle" not in shown
    assert "17" not in shown


@pytest.mark.parametrize("name", ready())
def test_every_prediction_of_a_chapter_comes_back_after_it_was_asked(name):
    source = (ROOT / "exercises" / f"{name}.py").read_text(encoding="utf-8")
    asked = {m[1]: m.start() for m in re.finditer(r'chapter\.predict\(\s*"(\w+)"', source)}
    back = {m[1]: m.start() for m in re.finditer(r'chapter\.reveal\("(\w+)"', source)}
    assert set(asked) == set(back) == set(load_checks(name).questions.predictions)
    assert not [key for key in asked if asked[key] > back[key]]


# --- what comes back --------------------------------------------------------------------------


def miss(chapter, key, answer):
    Chapter(chapter).quiz(key, answer=answer)


def shown_by(call, capsys):
    capsys.readouterr()
    call()
    return capsys.readouterr().out


def test_a_question_missed_comes_back_two_chapters_on_and_five_on_and_nowhere_else(capsys):
    miss("03", "what_a_head_writes", WRONG)
    question = load_checks("03").questions.quizzes["what_a_head_writes"].question
    for name in ready()[2:]:
        again = question in shown_by(Chapter(name).review, capsys)
        assert again == (int(name[:2]) in (5, 8)), name


def test_what_was_right_at_first_does_not_come_back_and_what_was_mended_does(capsys):
    answer = load_checks("03").questions.quizzes["what_a_head_writes"].answer
    miss("03", "what_a_head_writes", answer)
    miss("03", "what_a_head_writes", WRONG)
    assert "Nothing comes back" in shown_by(Chapter("05").review, capsys)
    miss("03", "pattern_as_evidence", _wrong("03", "pattern_as_evidence"))
    miss(
        "03",
        "pattern_as_evidence",
        load_checks("03").questions.quizzes["pattern_as_evidence"].answer,
    )
    assert "Nothing comes back" not in shown_by(Chapter("05").review, capsys)


def test_an_answer_given_when_it_came_back_counts_there_and_not_as_the_first(capsys):
    miss("03", "what_a_head_writes", WRONG)
    here = Chapter("05")
    item = returning("05_composition", here.log.events(), lambda n: load_checks(n).questions)[0]
    here._again(item)(item.question.answer)
    assert "You answered before" in shown_by(here.review, capsys)
    assert item.question.question in shown_by(Chapter("08").review, capsys)


def test_no_more_than_three_come_back_at_once(capsys):
    for key in load_checks("03").questions.quizzes:
        miss("03", key, _wrong("03", key))
    for key, question in load_checks("03").questions.predictions.items():
        wrong = next(c for c in question.choices if c != question.answer)
        Chapter("03").predict(key, answer=wrong, sure="guess")
    assert shown_by(Chapter("05").review, capsys).count("Answer in code") == 3


def test_progress_says_how_often_one_was_right_as_one_grew_sure(chapter, capsys):
    chapter.predict("rows_sum", answer="every column", sure="guess")
    chapter.predict("rows_sum", answer="every row", sure="guess")  # the first one counts
    chapter.predict("heads_in_a_vector", answer="3, 4, 5", sure="certain")
    Chapter("04").predict("which_layer", answer="layer 1", sure="certain")
    shown = shown_by(chapter.progress, capsys)
    assert re.search(r"a guess +0 of 1 +0 of 1", shown), shown
    assert re.search(r"certain +1 of 1 +2 of 2", shown), shown
    assert "0 of 4 exercises solved, 0 cases passed" in shown


def test_events_of_another_course_or_of_questions_that_are_gone_are_passed_over(chapter, capsys):
    chapter.log.record("99_other", "x", "predict", answer="y")
    chapter.log.record("00_start_here", "gone", "quiz", answer="y")
    chapter.log.record("00_start_here", "rows_sum", "predict")
    assert "Your predictions" not in shown_by(chapter.progress, capsys)
    assert "Nothing comes back" in shown_by(Chapter("02").review, capsys)
    assert shown_by(lambda: chapter.reveal("rows_sum"), capsys).startswith("○ It is")


def test_what_came_back_is_answered_in_code_as_the_line_below_it_says(capsys):
    first = load_checks("03").questions.predictions["why_bos"]
    wrong = next(choice for choice in first.choices if choice != first.answer)
    Chapter("03").predict("why_bos", answer=wrong, sure="guess")
    chapter = Chapter("05")
    call = re.search(r"`(chapter\.review\(.*\))`", shown_by(chapter.review, capsys))
    said = shown_by(lambda: eval(call[1], {"chapter": chapter}), capsys)
    assert said[0] in "✔✘"  # what came back was measured long ago: it gets its feedback at once
    assert "You answered before" in shown_by(chapter.review, capsys)
    with pytest.raises(UnknownName, match="why_bos"):
        chapter.review("why_boss", answer=wrong)


def test_choices_in_a_notebook_must_be_those_on_file(chapter):
    with pytest.raises(CourseError, match="differ"):
        chapter.predict("rows_sum", choices=["every row"])


def test_a_sentence_is_kept_and_an_example_shown_after_it(chapter, capsys):
    chapter.explain("cache_or_hook")
    example = load_checks("00").questions.explanations["cache_or_hook"].example
    assert example not in capsys.readouterr().out
    chapter.explain("cache_or_hook", text="Cache to look, hook to change.")
    assert example in capsys.readouterr().out
    assert chapter.log.events(kind="explain")[0].detail["answer"].startswith("Cache to look")


@pytest.mark.parametrize("name", ready())
def test_every_question_has_feedback_for_every_choice(name):
    checks = load_checks(name)
    for question in [*checks.questions.quizzes.values(), *checks.questions.predictions.values()]:
        assert len(question.choices) >= 2
        for choice in question.choices:
            said = question.feedback(choice)
            assert said[0] in "✔✘"
        assert all(question.choices.values()), f"{question.key}: a choice without its reason"


# --- the command ------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


ANSWERS = """
def split_heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1)

def project_heads(x, W):
    return x
"""


def test_answers_in_a_file_are_checked_without_jupyter(tmp_path):
    file = tmp_path / "my_answers.py"
    file.write_text(ANSWERS)
    result = run("check", "00", "--file", file)
    assert "✔ Passed" in result.output
    assert "✘ Wrong shape" in result.output
    assert "1 of 4 exercises passed." in result.output
    assert result.exit_code == 1
    assert run("check", "00", "--file", file, "--exercise", "split_heads").exit_code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [("def f(: pass", "does not run: SyntaxError"), ("import nothing_there", "does not run"),
     ("x = 1", "defines none of"), ("raise SystemExit(0)", "does not run: SystemExit"),
     ("import os; os._exit(0)", "ended Python"), ("raise ValueError('a\\nb')", "ValueError: a"),
     ("import os\ndef split_heads(x, n_heads): os._exit(0)", "ended Python")],
)  # fmt: skip
def test_a_file_that_cannot_be_checked_gets_one_line(tmp_path, content, words):
    file = tmp_path / "my_answers.py"
    file.write_text(content)
    result = run("check", "00", "--file", file)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "00", "--file", "nowhere.py"], "There is no file nowhere.py"),
        (["check", "4_inductoin_heads", "--file", "x.py"], "04_induction_heads"),
        (["progress", "99"], "There is no chapter '99'"),
        (["publish", "--repo", "a/b", "--ref", "v1", "--out", __file__], "Nothing can be written"),
        (["mystery", "new", "--seed", "3", "--out", __file__], "Nothing can be written"),
        (["train", "induction-2l", "--out", __file__], "Nothing can be written"),
        (["bundle", f"{__file__}/stick"], "Nothing can be written"),
    ],
)
def test_bad_names_on_the_command_line_get_one_line(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "options", [["--workers", -1], ["--workers", 0], ["--seconds", "inf"], ["--seconds", "nan"],
                ["--seconds", -3], ["--seconds", 0]],
)  # fmt: skip
def test_limits_that_are_none_are_refused(tmp_path, options):
    result = run("report", tmp_path, *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert options[0] in result.output


def test_what_the_disk_refuses_is_one_line(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("circuits_course.models.catalogue.list_models", refuse)
    result = run("models")
    assert result.exit_code == 1
    assert "Permission denied" in result.output
    assert "Traceback" not in result.output


def test_progress_on_the_command_line(chapter):
    chapter.check(split_heads)
    result = run("progress", "00")
    assert result.exit_code == 0
    assert "✔ passed" in result.output


def test_importing_the_course_is_quick():
    code = (
        "import sys, time; start = time.perf_counter(); import circuits_course; "
        "assert 'torch' not in sys.modules; print(time.perf_counter() - start)"
    )
    seconds = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.3


# --- questions as widgets ---------------------------------------------------------------------


def _clicked(form):
    next(child for child in form.children if hasattr(child, "click")).click()
    return form.children


def test_a_click_that_overtakes_its_choice_waits_for_it():
    """In a kernel, whose page sends clicks at once and changes of a field when it gets to it."""
    question = MultipleChoice("k", "Which?", {"a": "No.", "b": "Yes."}, answer="b")
    kept, said = [], []
    form = _choice_widget(question, kept.append, None, said.append)

    async def hasty():
        form.children[1].value = "a"
        _clicked(form)
        form.children[1].value = "b"
        await asyncio.sleep(questions.SETTLING + 0.3)

    asyncio.run(hasty())
    assert kept == ["b"]
    assert said == ["✔ Right: b. Yes."]


def test_without_an_event_loop_a_click_counts_at_once():
    question = MultipleChoice("k", "Which?", {"a": "No.", "b": "Yes."}, answer="b")
    kept, said = [], []
    form = _choice_widget(question, kept.append, "a", said.append)
    _clicked(form)
    assert kept == ["a"]
    assert "No." in said[0]


def test_an_answer_given_by_a_button_is_an_output_that_a_saved_notebook_keeps(monkeypatch):
    import IPython.display

    class Place:
        def __init__(self, data):
            self.data = data

        def update(self, data, raw):
            assert raw
            self.data = data

    places = []

    def display(data, raw, display_id=None):
        places.append(Place(data))
        return places[-1]

    monkeypatch.setattr(questions, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    said = questions.Feedback()
    said.open()
    assert places[0].data == {"text/plain": ""}
    said.say("You wrote: heads <add> up\n✔ Kept with your progress.")
    assert "heads &lt;add&gt; up" in places[0].data["text/html"]
    assert places[0].data["text/plain"].startswith("You wrote")


def test_a_prediction_is_committed_in_two_steps_the_choice_and_how_sure():
    question = MultipleChoice("k", "Which?", {"a": "No.", "b": "Yes."}, answer="b")
    kept, said = [], []
    form = _prediction_widget(
        question, lambda answer, **more: kept.append((answer, more)), None, said.append
    )
    radio, levels = form.children[1].children
    radio.value = "a"
    _clicked(form)
    assert not kept
    assert levels.layout.display != "none"
    levels.value = "fairly"
    _clicked(form)
    assert kept == [("a", {"sure": "fairly"})]
    assert "Yes." not in said[-1]
    assert "No." not in said[-1]
