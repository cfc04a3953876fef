"""Questions put to the learner: multiple choice (predictions, retrieval) and one sentence to write.

Both are shown as ipywidgets, which record the answer with the learner's progress, and can be
answered in code, with the keyboard alone or where no widgets are to be had. Quiz packages for
notebooks keep their answers in the page; these have to reach the progress file, and feed the
teacher's report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from circuits_course.checks.questions import SURE, MultipleChoice, Sentence
from circuits_course.page.messages import box, in_notebook, marked, prose, show, unmarked

SETTLING = 0.3  # seconds for what a page still holds back

Record = Callable[..., None]
Say = Callable[[str], None]


def ask_choice(
    question: MultipleChoice,
    call: str,
    record: Record,
    given: str | None = None,
    earlier: str | None = None,
) -> None:
    """Shows a multiple-choice question, or answers it where `given`.

    call: how the question is answered in code, shown where there are no widgets. earlier: what
    was answered before, shown with it.
    """
    if given is not None:
        said = question.feedback(given)
        record(given)
        show(said, tone=_tone(said))
        return
    example = f'Answer in code: `{call}, answer="{next(iter(question.choices))}")`'
    before = f"\nYou answered before: {earlier}." if earlier else ""
    _ask(
        f"{_listed(question)}\n{example}{before}",
        partial(_choice_widget, question, record, earlier),
    )


def ask_prediction(
    question: MultipleChoice,
    call: str,
    record: Record,
    given: str | None = None,
    sure: str | None = None,
    earlier: str | None = None,
) -> None:
    """Shows a prediction to make, then how sure one is of it; or keeps it where `given`.

    Nothing is said of right or wrong: that is for the measurement.
    """
    if given is not None:
        said = question.recorded(given, sure)
        record(given, sure=sure)
        show(said, tone="open")
        return
    levels = " or ".join(f'"{level}"' for level in SURE)
    example = f'Answer in code: `{call}, answer="{next(iter(question.choices))}", sure="guess")`'
    before = f"\nYou predicted before: {earlier}." if earlier else ""
    text = f"{_listed(question)}\n{example}, sure: {levels}{before}"
    _ask(text, partial(_prediction_widget, question, record, earlier))


def ask_sentence(
    question: Sentence,
    call: str,
    record: Record,
    given: str | None = None,
    earlier: str | None = None,
) -> None:
    """Shows a question to answer in one sentence, or keeps the sentence where `given`."""
    if given is not None:
        record(given)
        show(_kept(question, given))
        return
    before = f"\nYou wrote before: {earlier}" if earlier else ""
    text = f'{question.question}\nAnswer in code: `{call}, text="...")`{before}'
    _ask(text, partial(_sentence_widget, question, record, earlier))


def _listed(question: MultipleChoice) -> str:
    return "\n".join([question.question, *(f"  - {choice}" for choice in question.choices)])


def _ask(text: str, widget: Callable[[Say], Any]) -> None:
    """Shows a question: as a widget where one can be answered, and room for what is said to it."""
    feedback = Feedback()
    show(text, widget=widget(feedback.say) if in_notebook() else None)
    feedback.open()


def _kept(question: Sentence, text: str) -> str:
    if not text.strip():
        return "○ Nothing kept: the sentence is empty."
    return f"✔ Kept with your progress. For comparison, one way to say it: {question.example}"


def _tone(said: str) -> str:
    return {"✔": "good", "✘": "bad", "○": "open"}[said[0]]


class Feedback:
    """What is said to an answer given by a button: an output below the question.

    A widget is not in a saved notebook; this output is, and with it the answer.
    """

    def __init__(self) -> None:
        self._place: Any = None

    def open(self) -> None:
        """Makes room for what will be said, in a notebook."""
        if in_notebook():
            from IPython.display import display

            self._place = display({"text/plain": ""}, raw=True, display_id=True)

    def say(self, said: str) -> None:
        """Says it in that room; the last line decides the tone."""
        data = {"text/plain": said, "text/html": box(prose(said), _tone(said.split("\n")[-1]))}
        self._place.update(data, raw=True)


# --- widgets ----------------------------------------------------------------------------------


def _choice_widget(question: MultipleChoice, record: Record, earlier: str | None, say: Say) -> Any:
    buttons = _radio(question, earlier)

    def commit() -> str:
        if buttons.value is None:
            return "○ Choose one first."
        record(buttons.value)
        return question.feedback(buttons.value)

    return _form(question.question, buttons, "Commit", commit, say)


def _prediction_widget(
    question: MultipleChoice, record: Record, earlier: str | None, say: Say
) -> Any:
    """Two steps: the choice, and once it is committed how sure one is of it."""
    import ipywidgets as widgets

    buttons = _radio(question, earlier)
    levels = widgets.ToggleButtons(
        options=[(words, level) for level, words in SURE.items()],
        value=None,
        description="How sure?",
        layout=widgets.Layout(display="none"),
    )

    def commit() -> str:
        if buttons.value is None:
            return "○ Choose one first."
        levels.layout.display = "flex"
        if levels.value is None:
            return f"○ “{buttons.value}”. How sure are you? Then press Commit again."
        record(buttons.value, sure=levels.value)
        return question.recorded(buttons.value, levels.value)

    return _form(question.question, widgets.VBox([buttons, levels]), "Commit", commit, say)


def _radio(question: MultipleChoice, earlier: str | None) -> Any:
    import ipywidgets as widgets

    return widgets.RadioButtons(
        options=[(unmarked(choice), choice) for choice in question.choices],
        value=earlier if earlier in question.choices else None,
        layout=widgets.Layout(width="max-content"),
    )


def _sentence_widget(question: Sentence, record: Record, earlier: str | None, say: Say) -> Any:
    import ipywidgets as widgets

    area = widgets.Textarea(
        value=earlier or "",
        placeholder="One sentence, in your own words",
        layout=widgets.Layout(width="auto", height="4.5em"),
    )

    def keep() -> str:
        if not area.value.strip():
            return _kept(question, area.value)
        record(area.value)
        return f"You wrote: {' '.join(area.value.split())}\n{_kept(question, area.value)}"

    return _form(question.question, area, "Keep", keep, say)


def _form(question: str, field: Any, verb: str, submit: Callable[[], str], say: Say) -> Any:
    """A question, the field to answer it in, and a button; the page's script ties them together."""
    import ipywidgets as widgets

    button = widgets.Button(description=verb)
    button.on_click(lambda _: _once_settled(lambda: say(submit())))
    title = widgets.HTML(f"<b>{marked(question)}</b>").add_class("circuits-question")
    return widgets.VBox([title, field, button]).add_class("circuits-form")


def _once_settled(act: Callable[[], None]) -> None:
    """Acts a moment later where an event loop runs, as in a kernel, and else at once.

    While the kernel is at work a page holds back what is changed in a field, but not a click: the
    click may come before the choice that it commits.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        act()
    else:
        loop.call_later(SETTLING, act)
